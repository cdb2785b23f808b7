# As much of a module system as the hive's modules use: options with types, imports,
# mkIf, mkMerge, mkDefault, mkForce, extendModules, and much the same words for what is
# wrong. nixpkgs' own is not here because nixpkgs is large.
let
  inherit (builtins)
    all
    attrNames
    concatMap
    concatStringsSep
    elem
    filter
    foldl'
    head
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    listToAttrs
    mapAttrs
    match
    removeAttrs
    tail
    toJSON
    ;

  isNumber = value: isInt value || isFloat value;
  isA = kind: value: isAttrs value && value._type or null == kind;
  dotted = concatStringsSep ".";
  value' = value: if isFunction value then "<function>" else toJSON value;
  shown = defs: concatStringsSep "" (map (def: "\n- In `${def.file}': ${value' def.value}") defs);
  unique = foldl' (seen: one: if elem one seen then seen else seen ++ [ one ]) [ ];

  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };

  # Types: a name, which values fit, and how the definitions become one value.
  only =
    path: defs:
    if all (def: def.value == (head defs).value) (tail defs) then
      (head defs).value
    else
      throw "The option `${dotted path}' has conflicting definition values:${shown defs}";
  simple = name: check: {
    inherit name check;
    merge = only;
  };
  types = rec {
    str = simple "string" isString;
    bool = simple "boolean" isBool;
    int = simple "signed integer" isInt;
    number = simple "signed integer or floating point number" isNumber;
    path = simple "path" (
      value: isPath value || isAttrs value || (isString value && match "/.*" value != null)
    );
    package = simple "package" (value: isAttrs value && value.type or null == "derivation");
    port = simple "16 bit unsigned integer" (
      value: isInt value && value >= 0 && value <= 65535
    );
    anything = simple "anything" (_: true);
    unspecified = anything;
    ints.positive = simple "positive integer, meaning >0" (value: isInt value && value > 0);
    numbers.positive = simple "positive number, meaning >0" (value: isNumber value && value > 0);
    strMatching =
      pattern:
      simple "string matching the pattern ${pattern}" (
        value: isString value && match pattern value != null
      );
    enum = values: simple "one of ${toJSON values}" (value: elem value values);
    nullOr = type: {
      name = "null or ${type.name}";
      check = value: value == null || type.check value;
      merge =
        path: defs: if all (def: def.value == null) defs then null else type.merge path defs;
    };
    listOf = type: {
      name = "list of ${type.name}";
      check = isList;
      merge =
        path: defs:
        concatMap (def: map (value: leaf path type [ (def // { inherit value; }) ]) def.value) defs;
    };
    attrsOf = type: {
      name = "attribute set of ${type.name}";
      check = isAttrs;
      merge =
        path: defs:
        listToAttrs (
          map (name: {
            inherit name;
            value = leaf (path ++ [ name ]) type (below name defs);
          }) (unique (concatMap (def: attrNames def.value) defs))
        );
    };
    attrs = attrsOf anything;
    submodule = module: {
      name = "submodule";
      check = value: isAttrs value || isFunction value;
      merge =
        path: defs:
        (evalModules {
          prefix = path;
          modules = [ module ] ++ map define defs;
        }).config;
    };
  };

  # Definitions are { file, value }, the value with mkIf and the like around it.
  define = def: {
    _file = def.file;
    config = def.value;
  };
  valueOf = name: def: def // { value = def.value.${name}; };
  below = name: defs: map (valueOf name) (filter (def: def.value ? ${name}) defs);

  # Move what is around a set to its attributes, without looking at a condition.
  pushDown =
    def:
    let
      inherit (def) value;
      again = content: pushDown (def // { value = content; });
      around =
        wrap: map (one: one // { value = mapAttrs (_: wrap) one.value; }) (again value.content);
    in
    if isA "merge" value then
      concatMap again value.contents
    else if isA "if" value then
      around (mkIf value.condition)
    else if isA "override" value then
      around (mkOverride value.priority)
    else
      [ def ];

  # Take off what is around a value, which gets a priority.
  discharge =
    def:
    let
      inherit (def) value;
      again = content: discharge (def // { value = content; });
    in
    if isA "merge" value then
      concatMap again value.contents
    else if isA "if" value then
      (if value.condition then again value.content else [ ])
    else if isA "override" value then
      map (one: one // { inherit (value) priority; }) (again value.content)
    else
      [ ({ priority = 100; } // def) ];

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };

  leaf =
    path: type: defs:
    let
      discharged = concatMap discharge defs;
      lower = low: def: if def.priority < low then def.priority else low;
      least = foldl' lower 9999 discharged;
      winning = filter (def: def.priority == least) discharged;
      wrong = filter (def: !type.check def.value) winning;
    in
    if winning == [ ] then
      throw "The option `${dotted path}' was accessed but has no value defined."
    else if wrong != [ ] then
      throw (
        "A definition for option `${dotted path}' is not of type `${type.name}'."
        + " Definition values:${shown wrong}"
      )
    else
      type.merge path winning;

  mergeOptions =
    path: left: right:
    if isA "option" left || isA "option" right then
      throw "The option `${dotted path}' is already declared."
    else
      left
      // mapAttrs (
        name: value:
        if left ? ${name} then mergeOptions (path ++ [ name ]) left.${name} value else value
      ) right;

  # The definitions that define no option.
  unknown =
    path: options: defs:
    concatMap (
      def:
      concatMap (
        name:
        if !(options ? ${name}) then
          [
            {
              path = path ++ [ name ];
              def = valueOf name def;
            }
          ]
        else if isA "option" options.${name} then
          [ ]
        else
          unknown (path ++ [ name ]) options.${name} [ (valueOf name def) ]
      ) (attrNames def.value)
    ) (concatMap pushDown defs);

  defaultOf =
    option:
    if option ? default then
      [
        {
          file = "the option's default";
          value = mkOverride 1500 option.default;
        }
      ]
    else
      [ ];

  values =
    path: options: defs:
    let
      pushed = concatMap pushDown defs;
    in
    mapAttrs (
      name: option:
      if isA "option" option then
        leaf (path ++ [ name ]) option.type (below name pushed ++ defaultOf option)
      else
        values (path ++ [ name ]) option (below name pushed)
    ) options;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      arguments = specialArgs // {
        inherit config options lib;
      };
      # Only those that it names: to know which others there are takes the config.
      called =
        module:
        module (
          mapAttrs (name: _: arguments.${name} or config._module.args.${name}) (
            builtins.functionArgs module
          )
        );
      load =
        file: module:
        if isPath module || isString module then
          load (toString module) (import module)
        else if isFunction module then
          load file (called module)
        else
          let
            structured = module ? config || module ? options;
            own = module._file or file;
            rest = removeAttrs module [
              "_file"
              "imports"
            ];
          in
          [
            {
              file = own;
              options = if structured then module.options or { } else { };
              config = if structured then module.config or { } else rest;
            }
          ]
          ++ concatMap (load own) (module.imports or [ ]);
      loaded = concatMap (load "<unknown-file>") modules;
      options = foldl' (mergeOptions prefix) own (map (one: one.options) loaded);
      own._module.args = lib.mkOption {
        type = types.attrs;
        default = { };
      };
      defs = map (one: {
        inherit (one) file;
        value = one.config;
      }) loaded;
      unmatched = unknown prefix options defs;
      first = head unmatched;
      config =
        if unmatched == [ ] then
          values prefix options defs
        else
          throw (
            "The option `${dotted first.path}' does not exist."
            + " Definition values:${shown [ first.def ]}"
          );
    in
    {
      inherit options;
      config = removeAttrs config [ "_module" ];
      extendModules =
        more:
        evalModules {
          modules = modules ++ (more.modules or [ ]);
          specialArgs = specialArgs // (more.specialArgs or { });
          inherit prefix;
        };
    };

  lib = {
    inherit
      evalModules
      mkIf
      mkOverride
      types
      ;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOption = option: { type = types.unspecified; } // option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    literalExpression = text: text;
    getName = package: package.pname or (head (match "(.*)-[0-9].*" package.name));
    optionalAttrs = condition: set: if condition then set else { };
    genAttrs = names: value: listToAttrs (map (name: { inherit name; value = value name; }) names);
    filterAttrsRecursive =
      keep: set:
      listToAttrs (
        concatMap (
          name:
          let
            value = set.${name};
          in
          if !(keep name value) then
            [ ]
          else
            [
              {
                inherit name;
                value = if isAttrs value then lib.filterAttrsRecursive keep value else value;
              }
            ]
        ) (attrNames set)
      );
  };
in
lib
