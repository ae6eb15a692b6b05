# What package.nix and ../flake.nix ask nixpkgs for, made of this machine's own programs, where nixpkgs cannot be reached:
#
#     nix-build nix/stand-in.nix --option sandbox false --option build-users-group ""
#
# The phases are those of buildGoModule, in short. What it builds runs on this machine, and is no proof of what nixpkgs has.
let
  shell = name: text: more: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-euc" ("cp -r $src source; chmod -R u+w source; cd source; export HOME=$TMPDIR GOCACHE=$TMPDIR/cache\n" + text) ];
    PATH = builtins.getEnv "PATH";
  } // more);

  lib = {
    fileContents = file: builtins.head (builtins.match "(.*)\n" (builtins.readFile file));
    cleanSource = path: builtins.path {
      inherit path;
      name = "source";
      filter = file: _: !(builtins.elem (baseNameOf file) [ ".git" ".out" "bin" ]);
    };
    licenses.asl20.spdxId = "Apache-2.0";
    genAttrs = names: value: builtins.listToAttrs (map (name: { inherit name; value = value name; }) names);
  };

  buildGoModule = package: shell "${package.pname}-${package.version}" ''
    export GOPATH=$TMPDIR/go GOPROXY=off GOFLAGS="-mod=vendor -trimpath"
    cp -r "$vendor" vendor
    for one in $subPackages; do
      go install -tags "$tags" -ldflags "$ldflags" "./$one"
    done
    ${package.installPhase}
  '' {
    inherit (package) src subPackages ldflags;
    tags = builtins.concatStringsSep "," package.tags;
    vendor = shell "${package.pname}-vendor" "GOMODCACHE=${builtins.getEnv "GOMODCACHE"} go mod vendor -o $out" {
      inherit (package) src;
      outputHash = package.vendorHash;
      outputHashMode = "recursive";
    };
  } // { inherit (package) meta; };

  flake = (import ../flake.nix).outputs {
    self.shortRev = "stand-in";
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "riscv64-linux" ] (_: {
        callPackage = file: more: import file ({ inherit lib buildGoModule; bash = null; libseccomp = null; pkg-config = null; } // more);
      });
    };
  };
in
flake.packages.${builtins.currentSystem}.default
