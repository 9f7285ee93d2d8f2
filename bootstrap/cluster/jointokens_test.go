package cluster

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestRevokeBootstrapTokensTakesTokensAndNothingElse(t *testing.T) {
	secret := func(namespace, name string, typ corev1.SecretType) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: typ}
	}
	set := fake.NewClientset(
		secret("kube-system", "bootstrap-token-abcdef", corev1.SecretTypeBootstrapToken),
		secret("kube-system", "another", corev1.SecretTypeOpaque),
		secret("foundry", "signing-key", corev1.SecretTypeOpaque),
	)
	for range 2 { // the second time there is nothing left to take
		if err := RevokeBootstrapTokens(context.Background(), set); err != nil {
			t.Fatal(err)
		}
		left, err := set.CoreV1().Secrets("").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(left.Items) != 2 {
			t.Fatalf("%d secrets are left, want the two that are no tokens", len(left.Items))
		}
		for _, s := range left.Items {
			if s.Type == corev1.SecretTypeBootstrapToken {
				t.Errorf("%s still lets anybody join", s.Name)
			}
		}
	}
}
