// Package httpclient is a client of the HTTP API that a public generator made of its OpenAPI document: what users would have. It is
// made of a part of the operations, to be short. To make it anew, with a daemon running:
//
//	curl -so /tmp/openapi.json http://127.0.0.1:7380/v1/openapi-3.0.json && cd test/e2e/httpclient &&
//	go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.5.0 -config config.yaml /tmp/openapi.json
package httpclient
