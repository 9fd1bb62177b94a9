package main

import (
	"context"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// identity is the kubeconfig of a ServiceAccount with the permissions of the functions,
// for the other clients. As an administrator they would have an advantage: RBAC allows
// the group system:masters all without a look at its rules, and priority and fairness
// exempts it.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#exempt
func (b *bench) identity(ctx context.Context) (string, error) {
	admin, err := b.admin()
	if err != nil {
		return "", err
	}
	of := metav1.ObjectMeta{Name: "bench"}
	account, err := admin.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx, &corev1.ServiceAccount{ObjectMeta: of}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	if err := grant(ctx, admin, of.Name, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		applyRule,
	); err != nil {
		return "", err
	}
	seconds := int64((4 * time.Hour).Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	issued, err := admin.CoreV1().ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	kubeconfig, err := clientcmd.LoadFromFile(b.world.ControlPlane.Kubeconfig)
	if err != nil {
		return "", err
	}
	for user := range kubeconfig.AuthInfos {
		kubeconfig.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: issued.Status.Token}
	}
	path := filepath.Join(b.dir, "bench.kubeconfig")
	return path, clientcmd.WriteToFile(*kubeconfig, path)
}

// grant gives a ClusterRole of its own to a subject.
func grant(ctx context.Context, admin *kubernetes.Clientset, name string, to rbacv1.Subject, rules ...rbacv1.PolicyRule) error {
	of := metav1.ObjectMeta{Name: name}
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: of, Rules: rules}, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: of, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{to},
	}, metav1.CreateOptions{})
	return err
}
