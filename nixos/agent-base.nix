# What every agent's container is: no daemon of the hive's, only what a turn of claude
# needs. The hive starts claude inside, as root of a container without a network or
# users of its own.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
{
  imports = [ ./options.nix ];

  config = {
    # NixOS 25.11 tells nspawn's containers from others.
    boot =
      if options.boot ? isNspawnContainer then
        { isNspawnContainer = true; }
      else
        { isContainer = true; };

    networking.hostName = lib.mkDefault config.hyperhive.name;
    documentation.enable = lib.mkDefault false;
    system.stateVersion = lib.mkDefault "25.11";
    nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
    nixpkgs.config.allowUnfreePredicate = package: lib.getName package == "claude-code";

    environment.systemPackages = [
      pkgs.claude-code
      # What connects claude with the hive: socat - UNIX-CONNECT:/run/hive/mcp.sock
      pkgs.socat
      # ps and pkill, which a model takes for granted.
      pkgs.procps
    ];

    programs.git = {
      enable = true;
      config.user = {
        name = lib.mkDefault config.hyperhive.name;
        email = lib.mkDefault "${config.hyperhive.name}@hyperhive.invalid";
      };
    };
  };
}
