package statemachine

// Machines are all state machines, by the name that their files have.
func Machines() map[string]Machine {
	return map[string]Machine{"apply-manifests": ApplyManifests(), "fleet": Fleet(), "pod-inventory": PodInventory()}
}
