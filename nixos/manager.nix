# The manager's container: an agent's. What makes it the manager is bound into it, the
# proposed repos at /agents and the applied ones, read-only, at /applied.
{ lib, ... }:
{
  imports = [ ./agent-base.nix ];

  hyperhive.name = lib.mkDefault "hm1nd";
}
