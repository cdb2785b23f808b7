# An agent's configuration, spelled as in agent.toml. It is built into the system as
# /etc/hyperhive/agent.json, which the daemon reads and checks again. What is not set is
# not in it: the defaults are the daemon's.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  unset =
    type: description:
    mkOption {
      inherit description;
      type = types.nullOr type;
      default = null;
    };

  server = types.submodule {
    options = {
      command = mkOption {
        type = types.str;
        description = "The program, which talks MCP on its standard streams.";
      };
      args = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Its arguments.";
      };
      env = mkOption {
        type = types.attrsOf types.str;
        default = { };
        description = "Its environment, beyond the agent's. Readable for all on the host.";
      };
    };
  };
in
{
  options.hyperhive = {
    name = mkOption {
      type = types.str;
      default = "agent";
      description = "The agent's name; the hive sets it.";
    };
    model = unset types.str "The model, by its name or alias.";
    recipients = unset (types.listOf types.str) "To whom it may write; everybody if not set.";
    tools = {
      built_in = unset (types.listOf types.str) "Which of claude's own tools it has.";
      bash = unset (types.listOf types.str) ''
        Which commands its Bash may run, as patterns of claude's permission rules; any if
        not set.
      '';
    };
    mcp_servers = mkOption {
      type = types.attrsOf server;
      default = { };
      description = "MCP servers beside the hive's own.";
    };
    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "What claude's environment gets. Readable for all on the host.";
    };
    limits = {
      memory = unset types.str "Memory of all that runs in the container, such as 2G.";
      cpu = unset types.numbers.positive "Processors, such as 1.5.";
      tasks = unset types.ints.positive "Processes and threads.";
      turn_timeout = unset types.numbers.positive "Seconds after which a turn is ended.";
      silence_timeout = unset types.numbers.positive ''
        Seconds without a word of claude's after which a turn is ended.
      '';
    };
  };

  config.environment.etc."hyperhive/agent.json".text = builtins.toJSON (
    lib.filterAttrsRecursive (_: value: value != null) {
      inherit (config.hyperhive)
        model
        recipients
        tools
        mcp_servers
        environment
        limits
        ;
    }
  );
}
