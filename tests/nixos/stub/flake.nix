# In nixpkgs' place where the tests evaluate the hive's flake and modules.
{
  outputs =
    _:
    let
      lib = import ./modules.nix;
      packages = import ./packages.nix;
    in
    {
      lib = lib // {
        nixosSystem =
          { modules, ... }:
          lib.evalModules {
            modules = [
              ./nixos.nix
              ({ config, ... }: { _module.args.pkgs = packages config.nixpkgs.hostPlatform; })
            ] ++ modules;
          };
      };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packages;
    };
}
