# The options of NixOS that the hive sets, and a system that holds its /etc and its
# programs, and boots the systemd that it finds.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  of = type: mkOption { inherit type; };
  with' = type: default: mkOption { inherit type default; };
  failed = builtins.filter (one: !one.assertion) config.assertions;
  said = builtins.concatStringsSep "" (map (one: "\n- ${one.message}") failed);
  fileOf =
    name: file:
    if file.source != null then file.source else pkgs.writeText (baseNameOf name) file.text;
in
{
  options = {
    assertions = with' (types.listOf types.anything) [ ];
    boot.enableContainers = with' types.bool false;
    boot.isContainer = with' types.bool false;
    boot.isNspawnContainer = with' types.bool false;
    documentation.enable = with' types.bool true;
    environment.etc = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule {
          options.text = with' (types.nullOr types.str) null;
          options.source = with' (types.nullOr types.path) null;
        }
      );
    };
    environment.systemPackages = with' (types.listOf types.package) [ ];
    networking.hostName = with' types.str "nixos";
    nix.package = with' types.package pkgs.nix;
    nixpkgs.config = with' types.attrs { };
    nixpkgs.hostPlatform = of types.str;
    programs.git.enable = with' types.bool false;
    programs.git.config = with' (types.attrsOf types.attrs) { };
    system.build.toplevel = of types.package;
    system.stateVersion = of types.str;
    systemd.services = with' types.attrs { };
    systemd.tmpfiles.rules = with' (types.listOf types.str) [ ];
  };
  config.system.build.toplevel =
    if failed != [ ] then
      throw "\nFailed assertions:${said}"
    else
      derivation {
        name = "nixos-system-${config.networking.hostName}";
        system = config.nixpkgs.hostPlatform;
        builder = "/bin/sh";
        packages = config.environment.systemPackages;
        etc = map (name: "${name} ${fileOf name config.environment.etc.${name}}\n") (
          builtins.attrNames config.environment.etc
        );
        args = [
          "-c"
          ''
            PATH=/usr/bin:/bin
            echo "$etc" | while read -r name file; do
              [ -z "$name" ] && continue
              mkdir -p "$(dirname "$out/etc/$name")"
              ln -s "$file" "$out/etc/$name"
            done
            mkdir -p "$out/sw/bin"
            for package in $packages; do
              [ ! -d "$package/bin" ] || ln -s "$package"/bin/* "$out/sw/bin/"
            done
            {
              echo '#!/bin/sh'
              echo "ln -sfn $out /run/current-system"
              echo 'exec /usr/lib/systemd/systemd'
            } > "$out/init"
            chmod +x "$out/init"
          ''
        ];
      };
}
