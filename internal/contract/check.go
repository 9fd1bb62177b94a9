package contract

// String is the check as a cause words it, such as "list pods in namespace shop" or
// "patch deployments.apps web in namespace shop".
func (c Check) String() string {
	text := c.Verb + " " + c.Resource
	if c.Group != "" {
		text += "." + c.Group
	}
	if c.Name != "" {
		text += " " + c.Name
	}
	switch c.Namespace {
	case "":
		return text
	case AllNamespaces:
		return text + " in all namespaces"
	default:
		return text + " in namespace " + c.Namespace
	}
}
