package readiness

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// verdict is what an object says of itself.
type verdict struct {
	status  status.Status
	message string
	// ended is set once an object is done for good, so that it may go.
	ended bool
	// unobserved is set if it may be that nothing has looked at the object yet, and may be
	// that nothing ever says so. The status is InProgress then.
	unobserved bool
}

func isReady() verdict { return verdict{status: status.CurrentStatus} }
func inProgress(message string) verdict {
	return verdict{status: status.InProgressStatus, message: message}
}
func failed(message string) verdict { return verdict{status: status.FailedStatus, message: message} }

// judge says whether a live object is ready. It changes the object.
func judge(live map[string]any) verdict {
	o := newObject(live)
	o.tidy()
	if o.at("metadata", "deletionTimestamp") != nil {
		return verdict{status: status.TerminatingStatus, message: "it is being deleted"}
	}
	read, own := readers[o.groupKind()]
	if !own {
		return byKstatus(o)
	}
	generation, _ := o.number("metadata", "generation")
	if observed, ok := o.number("status", "observedGeneration"); ok && observed != generation {
		return inProgress(fmt.Sprintf("its generation is %d, and its controller has looked at %d", generation, observed))
	}
	return read(o)
}

// byKstatus goes by kstatus and, where kstatus finds nothing to go by, by what is
// usual in custom resources.
func byKstatus(o object) verdict {
	u := &unstructured.Unstructured{Object: o.fields}
	result, err := status.Compute(u)
	if err != nil {
		return verdict{status: status.UnknownStatus, message: err.Error()}
	}
	v := verdict{status: result.Status, message: result.Message}
	switch {
	case v.status == status.CurrentStatus && status.GetLegacyConditionsFn(u) == nil:
		return custom(o)
	case v.status != status.CurrentStatus && v.message == "":
		v.message = "its conditions do not say why"
		if len(result.Conditions) > 0 && result.Conditions[0].Reason != "" {
			v.message = result.Conditions[0].Reason
		} else if ready := o.condition("Ready"); ready.status != "" && because(ready.reason, ready.message) != "" {
			v.message = "its condition Ready is " + ready.status + because(ready.reason, ready.message)
		}
	}
	return v
}

// decisive are the conditions by which custom resources say that they are ready. The
// first that an object has decides.
var decisive = []string{
	"Ready",
	"Available",          // https://sdk.operatorframework.io/docs/building-operators/golang/advanced-topics/#manage-cr-status-conditions
	"Programmed",         // https://gateway-api.sigs.k8s.io/guides/implementers/#resource-details
	"Accepted",           // the same, of a GatewayClass
	"ACK.ResourceSynced", // https://aws-controllers-k8s.github.io/community/docs/user-docs/resource-crud/
	"Synced",
}

// custom decides about an object that has neither failed nor is being changed, as far
// as its generation and kstatus' own conditions say.
func custom(o object) verdict {
	if c := o.condition("ACK.Terminal"); c.isTrue() {
		return failed("its condition ACK.Terminal is True" + because(c.reason, c.message))
	}
	for _, name := range decisive {
		switch c := o.condition(name); {
		case c.isTrue():
			return isReady()
		case c.status != "":
			return inProgress("its condition " + name + " is " + c.status + because(c.reason, c.message))
		}
	}
	for _, name := range []string{"ready", "readyToUse"} {
		if says, ok := o.at("status", name).(bool); ok && !says {
			return inProgress("its status says that it is not " + name)
		}
	}
	if _, observed := o.number("status", "observedGeneration"); !observed && o.blank() {
		return verdict{status: status.InProgressStatus, message: "nothing has written its status yet", unobserved: true}
	}
	return isReady()
}

// decides reports whether an object is ready or not by this condition. Others may have
// been written once, such as NamesAccepted of a CRD.
func decides(name string) bool {
	return slices.Contains(decisive, name) || name == "Reconciling" || name == "Stalled"
}

// blank reports whether nothing has been written to the status, or only conditions of
// which nothing is known: those that a CRD sets by default.
func (o object) blank() bool {
	fields, isObject := o.at("status").(map[string]any)
	if !isObject {
		return o.at("status") == nil
	}
	for name, value := range fields {
		if name == "conditions" {
			for c := range o.conditions() {
				if c.status != "Unknown" {
					return false
				}
			}
		} else if !empty(value) {
			return false
		}
	}
	return true
}

func empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	case map[string]any:
		for _, field := range value {
			if !empty(field) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// because adds a reason and a message to a sentence.
func because(reason, message string) string {
	message = strings.TrimSuffix(strings.TrimSpace(message), ".")
	switch {
	case reason == "" && message == "":
		return ""
	case reason == "":
		return ": " + message
	case message == "":
		return ": " + reason
	default:
		return ": " + reason + ": " + message
	}
}

// object reads fields of any type.
type object struct {
	fields map[string]any
}

func newObject(value any) object {
	fields, _ := value.(map[string]any)
	return object{fields}
}

// at is a field; nil if there is none.
func (o object) at(path ...string) any {
	var value any = o.fields
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	return value
}

func (o object) text(path ...string) string {
	text, _ := o.at(path...).(string)
	return text
}

func (o object) list(path ...string) []any {
	list, _ := o.at(path...).([]any)
	return list
}

// number is a whole number, or one in a string.
func (o object) number(path ...string) (int64, bool) {
	switch value := o.at(path...).(type) {
	case int64:
		return value, true
	case float64:
		return int64(value), value == float64(int64(value))
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

func (o object) numberOr(otherwise int64, path ...string) int64 {
	if n, ok := o.number(path...); ok {
		return n
	}
	return otherwise
}

// groupKind is the key of readers.
func (o object) groupKind() string {
	if group, _, grouped := strings.Cut(o.text("apiVersion"), "/"); grouped {
		return group + "/" + o.text("kind")
	}
	return o.text("kind")
}

// condition is an entry of status.conditions.
type condition struct {
	name, status, reason, message string
}

func (c condition) isTrue() bool { return c.status == "True" }

// condition is the one of this name; empty if there is none.
func (o object) condition(name string) condition {
	for c := range o.conditions() {
		if c.name == name {
			return c
		}
	}
	return condition{}
}

func (o object) conditions() iter.Seq[condition] {
	return func(yield func(condition) bool) {
		for _, entry := range o.list("status", "conditions") {
			c := newObject(entry)
			if !yield(condition{c.text("type"), c.text("status"), c.text("reason"), c.text("message")}) {
				return
			}
		}
	}
}

// tidy gives the fields that readiness depends on the types of the API conventions:
// kstatus fails if one has another, and custom resources do not always keep to them.
// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
func (o object) tidy() {
	fields, ok := o.at("status").(map[string]any)
	if !ok {
		if says := o.at("status"); says != nil {
			o.fields["status"] = map[string]any{"says": says}
		}
		return
	}
	if observed, ok := o.number("status", "observedGeneration"); ok {
		fields["observedGeneration"] = observed
	} else {
		delete(fields, "observedGeneration")
	}
	generation, hasGeneration := o.number("metadata", "generation")
	entries, ok := fields["conditions"].([]any)
	if !ok {
		delete(fields, "conditions")
		return
	}
	conditions := entries[:0]
	for _, entry := range entries {
		c := newObject(entry)
		if c.text("type") == "" {
			continue
		}
		c.fields["status"] = truth(c.at("status"))
		for _, name := range []string{"reason", "message"} {
			if _, isText := c.at(name).(string); !isText {
				c.fields[name] = plain(c.at(name))
			}
		}
		// What a condition says of an earlier generation is not known of this one.
		if observed, ok := c.number("observedGeneration"); ok && hasGeneration && observed < generation && decides(c.text("type")) {
			c.fields["status"] = "Unknown"
			c.fields["message"] = fmt.Sprintf("its generation is %d, and this was said of %d", generation, observed)
		}
		if i := slices.IndexFunc(conditions, func(other any) bool { return newObject(other).text("type") == c.text("type") }); i >= 0 {
			// A list of conditions has each type once. Of two, which is the newer one is not known.
			if first := newObject(conditions[i]); first.text("status") != c.text("status") {
				first.fields["status"], first.fields["message"] = "Unknown", "it stands there twice, with different statuses"
			}
			continue
		}
		conditions = append(conditions, entry)
	}
	fields["conditions"] = conditions
}

// truth is the status of a condition: True, False or Unknown.
func truth(value any) string {
	for _, known := range []string{"True", "False"} {
		if strings.EqualFold(plain(value), known) {
			return known
		}
	}
	return "Unknown"
}

// plain is a value as text; empty for null.
func plain(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		return fmt.Sprint(value)
	}
}
