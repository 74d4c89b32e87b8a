// Pulumi's bridge over Docker's Terraform provider, as Pulumi's own plugin has it: test equipment.
//
// Only the resource types that the stack uses, without Pulumi's docker.Image.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// Set by the linker.
var version string

func main() {
	named := func(name string) *tfbridge.SchemaInfo { return &tfbridge.SchemaInfo{Name: name} }
	docker := tfbridge.ProviderInfo{
		P:    sdkv2.NewProvider(provider.New(version)()),
		Name: "docker",
		Resources: map[string]*tfbridge.ResourceInfo{
			"docker_container": {
				Tok:                 token("container", "Container"),
				DeleteBeforeReplace: true,
				// The bridge would make plurals of these names.
				Fields: map[string]*tfbridge.SchemaInfo{
					"command":           named("command"),
					"networks_advanced": named("networksAdvanced"),
				},
			},
			"docker_image": {
				Tok: token("remoteImage", "RemoteImage"),
				// Without this the bridge would make up a name for a thing that has one.
				Fields: map[string]*tfbridge.SchemaInfo{"name": named("name")},
			},
			"docker_network": {Tok: token("network", "Network")},
			"docker_volume":  {Tok: token("volume", "Volume")},
		},
	}
	docker.SetAutonaming(255, "-")
	schema := fmt.Sprintf(`{"name": "docker", "version": %q}`, version)
	tfbridge.Main("docker", version, docker, []byte(schema))
}

func token(module, name string) tokens.Type {
	return tokens.Type(fmt.Sprintf("docker:index/%s:%s", module, name))
}
