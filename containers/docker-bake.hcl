# `docker buildx bake --file containers/docker-bake.hcl` builds what containers/build does, and trainer-gpu on demand.

variable "PREFIX" { default = "recap-" }
variable "TAG" { default = "latest" }
variable "BASE" { default = "python:3.11-slim" }
variable "BASE_DIGEST" { default = "unknown" }
variable "TORCH_INDEX" { default = "https://download.pytorch.org/whl/cpu" }
variable "REVISION" { default = "unknown" }

group "default" {
  targets = ["data", "trainer", "registry"]
}

target "common" {
  dockerfile = "containers/Dockerfile"
  args = {
    BASE        = BASE
    BASE_DIGEST = BASE_DIGEST
    TORCH_INDEX = TORCH_INDEX
    REVISION    = REVISION
  }
}

target "data" {
  inherits = ["common"]
  target   = "data"
  tags     = ["${PREFIX}data:${TAG}"]
}

target "data-spark" {
  inherits = ["common"]
  target   = "data-spark"
  tags     = ["${PREFIX}data-spark:${TAG}"]
}

target "trainer" {
  inherits = ["common"]
  target   = "trainer"
  tags     = ["${PREFIX}trainer:${TAG}"]
}

target "trainer-gpu" {
  inherits = ["common"]
  target   = "trainer-gpu"
  tags     = ["${PREFIX}trainer-gpu:${TAG}"]
}

target "registry" {
  inherits = ["common"]
  target   = "registry"
  tags     = ["${PREFIX}registry:${TAG}"]
}
