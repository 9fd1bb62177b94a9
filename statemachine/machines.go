package statemachine

// Machines are all state machines, by the name that their files have.
func Machines() map[string]Machine {
	return map[string]Machine{"fleet": Fleet(), "pod-inventory": PodInventory()}
}
