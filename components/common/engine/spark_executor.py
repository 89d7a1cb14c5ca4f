"""The entry point of an executor's container on Kubernetes, by the environment that Spark's driver gives its pod.

Spark's own images start executors by a shell script; PySpark's package has the JVM's classes and no such script.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_JAVA_OPTION = "SPARK_JAVA_OPT_"


def java_command(environment: dict[str, str]) -> list[str]:
    """The command of the executor's JVM.

    Raises:
        ValueError: a variable that Spark's driver sets is missing; it is named.
        FileNotFoundError: PySpark is not installed.
    """
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pyspark is not installed; use the image recap-data-spark for executors")
    classes = f"{environment.get('SPARK_CONF_DIR', '')}:{Path(spec.origin).parent / 'jars'}/*"
    options = sorted(
        (int(name.removeprefix(_JAVA_OPTION)), value)
        for name, value in environment.items()
        if name.startswith(_JAVA_OPTION)
    )
    try:
        memory = environment["SPARK_EXECUTOR_MEMORY"]
        arguments = {
            "--driver-url": environment["SPARK_DRIVER_URL"],
            "--executor-id": environment["SPARK_EXECUTOR_ID"],
            "--cores": environment["SPARK_EXECUTOR_CORES"],
            "--app-id": environment["SPARK_APPLICATION_ID"],
            "--hostname": environment["SPARK_EXECUTOR_POD_IP"],
            "--resourceProfileId": environment["SPARK_RESOURCE_PROFILE_ID"],
            "--podName": environment["SPARK_EXECUTOR_POD_NAME"],
        }
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: not set; only Spark's driver starts this container") from None
    java = str(Path(environment["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in environment else "java"
    sizes = [f"-Xms{memory}", f"-Xmx{memory}"]
    given = [text for pair in arguments.items() for text in pair]
    return [java, *(value for _, value in options), *sizes, "-cp", classes, _BACKEND, *given]


def main() -> None:
    """Replace this process by the executor's JVM."""
    try:
        command = java_command(dict(os.environ))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"recap-error: {error}")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(
            f"recap-error: {command[0]}: cannot be started ({error}); the image needs a Java runtime, 17 or later"
        )


if __name__ == "__main__":
    main()
