# The host: the daemon as a service, and what it needs to run agents in NixOS containers.
hive:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.hive-c0re;
  toml = pkgs.formats.toml { };
  file = toml.generate "hive.toml" cfg.settings;
in
{
  options.services.hive-c0re = {
    enable = lib.mkEnableOption "hyperhive, a swarm of Claude Code agents";

    package = mkOption {
      type = types.package;
      default = hive.packages.${pkgs.stdenv.hostPlatform.system}.default;
      defaultText = lib.literalExpression "hyperhive.packages.\${system}.default";
      description = "The hyperhive to run.";
    };

    stateDir = mkOption {
      type = types.path;
      default = "/var/lib/hyperhive";
      description = "What must survive: messages, logins, notes, repos.";
    };

    dashboard = mkOption {
      type = types.str;
      default = "tcp:7000:interface=127.0.0.1";
      description = "Where the dashboard listens, as a Twisted endpoint.";
    };

    agentInterface = mkOption {
      type = types.str;
      default = "127.0.0.1";
      description = "The address that agents' pages listen on.";
    };

    managerPort = mkOption {
      type = types.port;
      default = 8000;
      description = "The port of the manager's page; 0 picks a free one.";
    };

    agentPorts = mkOption {
      type = types.str;
      default = "8100-8999";
      description = "The ports of agents' pages; 0 turns them off.";
    };

    settings = mkOption {
      inherit (toml) type;
      default = { };
      example = {
        model = "sonnet";
        max-turns = 8;
      };
      description = "More of hive.toml. It is readable for all on the host: no keys here.";
    };

    environmentFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = "A file with the daemon's environment, such as ANTHROPIC_API_KEY=…";
    };
  };

  config = lib.mkIf cfg.enable {
    # Without a container that the host's configuration declares, NixOS has neither
    # the units nor the program for those that the hive makes.
    boot.enableContainers = true;

    services.hive-c0re.settings = {
      state-dir = cfg.stateDir;
      run-dir = "/run/hyperhive";
      dashboard = cfg.dashboard;
      agent-interface = cfg.agentInterface;
      manager-port = cfg.managerPort;
      agent-ports = cfg.agentPorts;
      # What agents' systems extend is what runs here.
      hive-flake = "path:${hive}";
    };

    environment.systemPackages = [ cfg.package ];

    systemd.tmpfiles.rules = [ "d '${cfg.stateDir}' 0700 root root - -" ];

    systemd.services.hive-c0re = {
      description = "hyperhive, a swarm of Claude Code agents";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      path = [
        pkgs.bubblewrap
        pkgs.gitMinimal
        config.nix.package
        pkgs.nixos-container
        pkgs.socat
        pkgs.systemd
        pkgs.util-linux
      ];
      serviceConfig = {
        ExecStart = "${cfg.package}/bin/hive-c0re serve --config ${file}";
        Restart = "on-failure";
        RestartSec = 2;
        # The daemon ends what runs; systemd what is left after that.
        KillMode = "mixed";
        UMask = "0077";
        # Containers have folders of it bound into them.
        RuntimeDirectory = "hyperhive";
        RuntimeDirectoryMode = "0755";
        RuntimeDirectoryPreserve = true;
      }
      // lib.optionalAttrs (cfg.environmentFile != null) {
        EnvironmentFile = cfg.environmentFile;
      };
    };
  };
}
