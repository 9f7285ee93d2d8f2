package scenarios

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// runInside runs a file's text, whose ${VARIABLES} are the script's, as a Python program in a pod of a tenant that
// runs, and leaves what it says in stdout.
func runInside(c *call, p *platform.Platform) error {
	namespace, selector := c.args[0], c.args[1]
	program, err := os.ReadFile(c.ts.MkAbs(c.args[2]))
	if err != nil {
		return err
	}
	pods, err := p.Kube.CoreV1().Pods(namespace).List(c.ctx, metav1.ListOptions{LabelSelector: selector, FieldSelector: "status.phase=Running"})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp == nil })
	if i < 0 {
		return fmt.Errorf("no pod runs in %s with %s", namespace, selector)
	}
	pod := pods.Items[i]
	out, err := p.Exec(c.ctx, namespace, pod.Name, pod.Spec.Containers[0].Name, []string{"python3", "-"}, c.expand(string(program)))
	fmt.Fprint(c.ts.Stdout(), out)
	return err
}

// awaitDenied waits until a refused connection is told of a pod whose name begins so: as an Event since the script
// began.
func awaitDenied(c *call, p *platform.Platform) error {
	namespace, pod := c.args[1], c.args[2]
	return c.wait(eventTimeout, func() (bool, string, error) {
		events, err := p.Kube.CoreV1().Events(namespace).List(c.ctx, metav1.ListOptions{FieldSelector: "source=" + names.NetworkReporter})
		if err != nil {
			return false, "", err
		}
		seen := 0
		for _, e := range events.Items {
			if !strings.HasPrefix(e.InvolvedObject.Name, pod) || e.LastTimestamp.Time.Before(c.begun.Truncate(time.Second)) {
				continue
			}
			if seen++; c.pattern.MatchString(e.Message) {
				fmt.Fprintln(c.ts.Stdout(), e.Message)
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("for a refusal of %s/%s to be told that fits %s; %d others are", namespace, pod, c.pattern, seen), nil
	})
}

// nodePorts are those that programs of a node itself listen at: the API server, the kubelet, the front door's
// Service, etcd, kube-proxy.
var nodePorts = []int32{6443, 10250, 30443, 2379, 2380, 10256, 10249}

// runPorts sets a variable to every TCP port that a pod of the script's tenant could try elsewhere: of every Service
// of the platform and of other tenants, of each pod that runs, and of the nodes, each as NAME=ADDRESS:PORT with a comma
// between. A NAME says what has the port and not which one of its like, so that scripts can write it down.
func runPorts(c *call, p *platform.Platform) error {
	var out []string
	add := func(name, address string, port int32) {
		out = append(out, fmt.Sprintf("%s:%d=%s:%d", name, port, address, port))
	}
	own := c.ts.Getenv("TENANT")
	services, err := p.Kube.CoreV1().Services("").List(c.ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, s := range services.Items {
		for _, port := range s.Spec.Ports {
			if port.Protocol == corev1.ProtocolTCP && s.Spec.ClusterIP != corev1.ClusterIPNone && s.Namespace != own {
				add("service/"+s.Namespace+"/"+s.Name, s.Spec.ClusterIP, port.Port)
			}
		}
	}
	pods, err := p.Kube.CoreV1().Pods("").List(c.ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		if pod.Namespace == own || pod.Spec.HostNetwork {
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Protocol == corev1.ProtocolTCP {
					add("pod/"+pod.Namespace+"/"+container.Name, pod.Status.PodIP, port.ContainerPort)
				}
			}
		}
	}
	nodes, err := p.Kube.CoreV1().Nodes().List(c.ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				for _, port := range nodePorts {
					add("node", a.Address, port)
				}
			}
		}
	}
	slices.Sort(out)
	c.ts.Setenv(c.args[0], strings.Join(out, ","))
	return nil
}
