package main

import (
	"context"
	"errors"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/names"
)

// tlogTiles lets tessera's fsck read the whole log of the trace, as an auditor, for the leaves are nobody else's. The
// key comes from the cluster, and not from the log that is judged.
func tlogTiles(ctx context.Context, w *world) (_ []result, err error) {
	program, err := w.goTool(ctx, "tlog")
	if err != nil {
		return nil, err
	}
	key, err := w.Kube.CoreV1().ConfigMaps(names.NamespaceSystem).Get(ctx, names.CheckpointKey, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	life := int64(600)
	token, err := w.Kube.CoreV1().ServiceAccounts(names.NamespaceSystem).CreateToken(ctx, "auditor",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"tracedb"}, ExpirationSeconds: &life}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	transport, err := w.door.Transport()
	if err != nil {
		return nil, err
	}
	address, stop, err := plain(w.door.URL("trace"), transport, http.Header{"Authorization": {"Bearer " + token.Status.Token}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	res := result{test: "fsck"}
	if _, err := command.Output(ctx, program, "-url", "http://"+address+"/", "-key", key.Data[names.CheckpointKeyFile]); err != nil {
		res.state, res.message = failed, err.Error()
	}
	return []result{res}, nil
}
