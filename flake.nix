{
  description = "A swarm of Claude Code agents that a person can trust overnight";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      perSystem = value: lib.genAttrs systems (system: value nixpkgs.legacyPackages.${system});
    in
    {
      packages = perSystem (pkgs: {
        default = import ./nixos/package.nix { inherit pkgs self; };
      });

      nixosModules = rec {
        hive-c0re = import ./nixos/host.nix self;
        default = hive-c0re;
      };

      # The generated flake of each agent extends one of them.
      nixosConfigurations = {
        agent-base = lib.nixosSystem { modules = [ ./nixos/agent-base.nix ]; };
        manager = lib.nixosSystem { modules = [ ./nixos/manager.nix ]; };
      };

      devShells = perSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bubblewrap
            pkgs.gnumake
            pkgs.nix
            pkgs.python3
            pkgs.socat
          ];
        };
      });
    };
}
