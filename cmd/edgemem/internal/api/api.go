package api

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/edgemem/edgemem/fabric"
)

// Bounds of what clients may take of the node at once.
const (
	requestsMax  = 128      // requests under way, watches not counted
	bodiesMax    = 16 << 20 // bytes of bodies that are being read or worked on
	bodyMax      = 2 << 20  // bytes of one body,
	batchBodyMax = 4 << 20  // and of a batch
	watchesMax   = 1024
	retryAfter   = "1" // seconds, for who came too much
)

// Config says what to serve.
type Config struct {
	Fabric  *fabric.Fabric
	Version string // of the program, for the document
	Watches int    // at once. Default: watchesMax
}

// Handler serves the API under /v1/. Close it before the fabric.
type Handler struct {
	*gate
	doc *huma.OpenAPI
}

// Document is the OpenAPI document, as JSON.
func (h *Handler) Document() ([]byte, error) { return h.doc.MarshalJSON() }

// server answers requests.
type server struct {
	f       *fabric.Fabric
	watches atomic.Int64
	most    int64
	fresh   freshness
	now     func() time.Time
}

// New makes the API of a node.
func New(c Config) *Handler {
	s := &server{f: c.Fabric, most: watchesMax, now: time.Now}
	if c.Watches > 0 {
		s.most = int64(c.Watches)
	}
	mux := http.NewServeMux()
	api := humago.New(mux, describe(c.Version))
	s.addRegions(api)
	s.addKeys(api)
	s.addOps(api)
	s.addBatch(api)
	s.addWatch(api)
	s.addLeases(api)
	return &Handler{newGate(&away{s, mux}), api.OpenAPI()}
}

func describe(version string) huma.Config {
	c := huma.DefaultConfig("edgemem", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "/v1/openapi", "", ""
	c.CreateHooks = nil
	c.Info.Description = "One shared memory for devices, edge servers and the cloud: regions of typed entries, read and written on this node, and merged with every other."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "Asked for where the node was given a token."},
	}
	c.Security = []map[string][]string{{}, {"token": {}}}
	c.Tags = []*huma.Tag{
		{Name: "regions", Description: "Named, replicated maps from key to entry."}, {Name: "entries", Description: "What a key holds."},
		{Name: "operations", Description: "Writes by type of entry. A key that is absent becomes of the type."}, {Name: "watches", Description: "State and changes as they come."},
		{Name: "leases", Description: "Locks for a time, with fencing tokens, from a majority of the nodes that vote on them."},
	}
	return c
}
