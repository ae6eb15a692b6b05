# homerun as a package of nixpkgs; see README.md beside this.
{ lib, buildGoModule, bash, libseccomp, pkg-config, commit ? "unknown" }:

buildGoModule rec {
  pname = "homerun";
  version = lib.fileContents ../VERSION;
  src = lib.cleanSource ../.;
  vendorHash = lib.fileContents ./vendor-hash;

  subPackages = [
    "cmd/homerun"
    "cmd/homerun-doctor"
    "cmd/homerun-log"
    "cmd/homerun-net"
    "cmd/homerun-seccomp"
  ];
  nativeBuildInputs = [ bash pkg-config ];
  buildInputs = [ libseccomp ];
  tags = [ "netgo" "osusergo" ];
  ldflags = [ "-s" "-w" "-X main.version=${version}" "-X main.commit=${commit}" ];
  # The tests want privileges, helpers and a machine; `make test` runs them.
  doCheck = false;

  installPhase = ''
    mkdir -p bin
    cp "$GOPATH"/bin/homerun* bin/
    bin/homerun generate-docs bin/docs
    go run ./hack/man bin/docs
    bash hack/install "$out"
  '';

  meta = {
    description = "Rootless-first OCI container runtime";
    homepage = "https://github.com/homerun-oci/homerun";
    license = lib.licenses.asl20;
    platforms = [ "x86_64-linux" "aarch64-linux" "riscv64-linux" ];
    mainProgram = "homerun";
  };
}
