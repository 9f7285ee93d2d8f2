package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// RevokeBootstrapTokens deletes the bootstrap tokens, which nodes join with. kind gives every
// cluster the same one, valid for a day: whoever reaches the API server, so any
// pod, could ask with it for a node's certificate, and read the Secrets of all
// pods on that node. Nodes that have joined don't need it any more, and a
// cluster's nodes are all made at once.
func RevokeBootstrapTokens(ctx context.Context, set kubernetes.Interface) error {
	secrets := set.CoreV1().Secrets(metav1.NamespaceSystem)
	tokens, err := secrets.List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeBootstrapToken)})
	if err != nil {
		return fmt.Errorf("list bootstrap tokens: %w", err)
	}
	for _, t := range tokens.Items {
		if t.Type != corev1.SecretTypeBootstrapToken {
			continue
		}
		if err := secrets.Delete(ctx, t.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete bootstrap token: %w", err)
		}
	}
	return nil
}
