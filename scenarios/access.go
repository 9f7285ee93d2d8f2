package scenarios

import (
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/druppie/druppie-up/scenarios/platform"
)

// runCan asks the API server whether a service account may do something in a namespace. The server answers as it
// would if the account tried: what it may not do is a refusal.
func runCan(c *call, p *platform.Platform) error {
	namespace, name, ok := strings.Cut(c.args[0], "/")
	if !ok {
		return fmt.Errorf("%w: %q isn't NAMESPACE/SERVICEACCOUNT", errUsage, c.args[0])
	}
	resource := schema.ParseGroupResource(c.args[2])
	answer, err := p.Kube.AuthorizationV1().SubjectAccessReviews().Create(c.ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + namespace + ":" + name,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: c.args[3], Verb: c.args[1], Group: resource.Group, Resource: resource.Resource,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask for the rights of %s: %w", c.args[0], err)
	}
	if !answer.Status.Allowed {
		return refusal{fmt.Errorf("%s may not %s %s in %s", c.args[0], c.args[1], c.args[2], c.args[3])}
	}
	fmt.Fprintln(c.ts.Stdout(), answer.Status.Reason)
	return nil
}
