// The modules that `python -m tools.distill` reads CRDs from. Nothing here is compiled.
module kaitops/tools/crd-modules

go 1.26

require (
	github.com/argoproj/argo-cd/v3 v3.5.1
	github.com/external-secrets/external-secrets v1.3.2
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/fluxcd/source-controller v1.9.6
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	istio.io/api v1.29.0
	sigs.k8s.io/gateway-api v1.3.0
	sigs.k8s.io/karpenter v1.14.1
)
