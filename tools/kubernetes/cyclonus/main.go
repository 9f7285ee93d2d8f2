// Command cyclonus runs cyclonus' generated cases of network policies against the cluster that KUBECONFIG names: what
// connects under each is compared with what cyclonus itself reads in the policies. It has cyclonus' own parts and the way
// to ask that its command line leaves out: each pod asks all others at once. Its namespaces are x, y and z; where one of
// them is there before, it changes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/mattfenwick/cyclonus/pkg/cli"
	"github.com/mattfenwick/cyclonus/pkg/connectivity"
	"github.com/mattfenwick/cyclonus/pkg/connectivity/probe"
	"github.com/mattfenwick/cyclonus/pkg/generator"
	"github.com/mattfenwick/cyclonus/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// image is what cyclonus names where each pod asks all others at once: /agnhost serves, and its /worker asks.
const image = "docker.io/mfenwick100/cyclonus-worker:latest"

var namespaces, pods = []string{"x", "y", "z"}, []string{"a", "b", "c"}

// cases are those that cyclonus runs unless it is asked for others, and those of ranges of ports, which are stable by now.
// Each has a name of its own. A policy that keeps a pod from connecting lets it ask for names.
func cases(ip string) []*generator.TestCase {
	left := slices.DeleteFunc(slices.Clone(cli.DefaultExcludeTags), func(tag string) bool { return tag == generator.TagEndPort })
	all := generator.NewTestCaseGenerator(true, ip, namespaces, nil, left).GenerateTestCases()
	for i, c := range all {
		c.Description = fmt.Sprintf("%d: %s", i+1, c.Description)
	}
	return all
}

func main() {
	which := flag.Bool("image", false, "say the name of the image that the pods run, and end")
	report := flag.String("junit", "", "`file` for the report, in JUnit's form")
	list := flag.Bool("list", false, "say what would be run, and end")
	flag.Parse()
	if *which {
		fmt.Println(image)
		return
	}
	if err := run(*report, *list); err != nil {
		fmt.Fprintln(os.Stderr, "cyclonus:", err)
		os.Exit(1)
	}
}

func run(report string, list bool) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if list {
		for _, c := range cases("192.0.2.1") {
			fmt.Println(c.Description)
		}
		return nil
	}
	cluster, err := kube.NewKubernetesForContext("")
	if err != nil {
		return err
	}
	for _, n := range namespaces {
		if _, err := cluster.ClientSet.CoreV1().Namespaces().Get(ctx, n, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errors.Join(err, fmt.Errorf("a namespace %q is there already, and its policies would be deleted", n))
		}
	}
	defer func() {
		for _, n := range namespaces {
			if e := cluster.DeleteNamespace(n); e != nil && !apierrors.IsNotFound(e) {
				err = errors.Join(err, e)
			}
		}
	}()
	// What answers for SCTP wants a module of the kernel that nodes seldom have.
	protocols := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}
	resources, err := probe.NewDefaultResources(cluster, namespaces, pods, []int{80, 81}, protocols, nil, 120, true, "")
	if err != nil {
		return err
	}
	one, err := resources.GetPod("z", "c")
	if err != nil {
		return err
	}
	interpreter := connectivity.NewInterpreter(cluster, resources, &connectivity.InterpreterConfig{
		ResetClusterBeforeTestCase: true, VerifyClusterStateBeforeTestCase: true,
		KubeProbeRetries: 1, PerturbationWaitSeconds: 2, BatchJobs: true,
	})
	printer := connectivity.Printer{}
	for _, c := range cases(one.IP) {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		result := interpreter.ExecuteTestCase(c)
		if result.Err != nil {
			return fmt.Errorf("%s: %w", c.Description, result.Err)
		}
		printer.PrintTestCaseResult(result)
	}
	return connectivity.PrintJUnitResults(report, printer.Results, false)
}
