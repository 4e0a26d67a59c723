package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/fabric/client"
)

// addOps makes a path of each operation.
func (s *server) addOps(api huma.API) {
	for _, o := range client.Operations() {
		huma.Register(api, huma.Operation{
			OperationID: strings.ReplaceAll(o.Name, "/", "-"), Method: http.MethodPost, Path: "/v1/regions/{region}/keys/{key}/" + o.Name,
			Tags: []string{"operations"}, Summary: o.Summary, MaxBodyBytes: bodyMax, Errors: []int{400, 404, 409, 412, 413, 422, 503, 507}, RequestBody: body(api, o),
		}, func(ctx context.Context, q *opRequest) (*resultAnswer, error) {
			return s.writeOne(ctx, &q.OfEntry, o.Name, q.Body, q.Conditions)
		})
	}
}

// body describes the arguments that an operation takes, and no others.
func body(api huma.API, o client.Operation) *huma.RequestBody {
	registry := api.OpenAPI().Components.Schemas
	name := title(o.Name)
	if registry.Map()[name] == nil {
		all := registry.Schema(reflect.TypeFor[client.Args](), false, "Args")
		s := &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{}, AdditionalProperties: false, Required: slices.Clone(o.Needs)}
		for _, arg := range slices.Concat(o.Needs, o.Takes, []string{"encoding"}) {
			s.Properties[arg] = all.Properties[arg]
		}
		registry.Map()[name] = s
		s.PrecomputeMessages()
	}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + name}},
	}}
}

// title makes a name of a type: SetAdd of set/add.
func title(name string) string {
	out := ""
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '-' }) {
		out += strings.ToUpper(part[:1]) + part[1:]
	}
	return out
}
