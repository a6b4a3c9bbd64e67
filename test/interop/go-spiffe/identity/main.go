// What go-spiffe reads, writes, proves and refuses, asked by JSON lines: IDs, X509-SVIDs, JWT-SVIDs, bundle documents.
// A line {"seq":1,"task":"…","input":…} is answered by {"type":"answer","seq":1,"value":…} or with an "error". Bytes are
// base64. It ends when standard input does.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"log"
	"os"
)

type object map[string]any

type task func(input json.RawMessage) (any, error)

var tasks = map[string]task{
	"read ids":           doing(readIDs),
	"read trust domains": doing(readTrustDomains),
	"build id":           doing(buildID),
	"mint x509":          doing(mintX509),
	"read x509":          doing(readX509),
	"verify x509":        doing(verifyX509),
	"mint jwt":           doing(mintJWT),
	"validate jwt":       doing(validateJWT),
	"read jwt bundle":    doing(readJWTBundle),
	"read bundle":        doing(readBundle),
	"write bundle":       doing(writeBundle),
	"compare bundles":    doing(compareBundles),
}

// doing makes a task of a function with an input of its own type.
func doing[I any](perform func(I) (any, error)) task {
	return func(raw json.RawMessage) (any, error) {
		var input I
		if err := json.Unmarshal(raw, &input); err != nil {
			return nil, err
		}
		return perform(input)
	}
}

func main() {
	log.SetFlags(0)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var request struct {
			Seq   int             `json:"seq"`
			Task  string          `json:"task"`
			Input json.RawMessage `json:"input"`
		}
		check(json.Unmarshal(lines.Bytes(), &request))
		answer := object{"type": "answer", "seq": request.Seq}
		value, err := any(nil), errors.New("no such task: "+request.Task)
		if perform, ok := tasks[request.Task]; ok {
			value, err = perform(request.Input)
		}
		if err != nil {
			answer["error"] = object{"message": err.Error()}
		} else {
			answer["value"] = value
		}
		check(output.Encode(answer))
	}
	check(lines.Err())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
