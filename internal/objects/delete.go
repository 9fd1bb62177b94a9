package objects

import (
	"context"
	"encoding/json"

	"github.com/kubestep/kubestep/internal/kube"
)

// Delete deletes the object if it is the one with the UID, in that version or, if that is
// empty, in any. gone reports whether it is gone then: else it waits for its finalizers, or
// for its containers to end. An object that is not the one is a conflict.
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/delete-options/
func (c Client) Delete(ctx context.Context, t Target, uid, version string) (gone bool, err error) {
	preconditions := map[string]string{"uid": uid}
	if version != "" {
		preconditions["resourceVersion"] = version
	}
	options, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions,
		// What the object owns goes too. The default of some kinds is to leave it.
		"propagationPolicy": "Background",
	})
	if err != nil { // text alone cannot fail
		return false, err
	}
	answer, err := kube.Body(c.Conn.Delete().AbsPath(t.Path()...).MaxRetries(0).SetHeader("Content-Type", "application/json").Body(options).
		Do(kube.AtMost(ctx, kube.ObjectBytes)))
	if err != nil {
		return false, err
	}
	var of struct {
		Kind   string `json:"kind"`
		Status any    `json:"status"`
	}
	if json.Unmarshal(answer, &of) == nil && of.Kind == "Status" && of.Status == "Success" {
		return true, nil
	}
	return false, kube.IsObject(answer, t.Kind, t.Name)
}
