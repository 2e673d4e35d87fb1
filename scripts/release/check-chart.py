#!/usr/bin/env python3
"""Checks the Helm chart without a cluster: lints it with Helm's own library, renders it with several values, checks
each manifest against the schema of Kubernetes, and what must hold between them. Usage: check-chart.py CHART
Needs the packages helm-python-sdk, kubernetes-validate and PyYAML."""

import sys

import kubernetes_validate
import yaml
from helm_python import chart as helm
from helm_python.errors import HelmError

URL = "postgresql://trace_writer:secret@db.example:5432/traces"
# The oldest and the newest version whose schemas are checked.
KUBERNETES = ["1.27", "1.34"]
CASES = {
    "url": {"database": {"url": URL}},
    "secret": {"database": {"existingSecret": "traces", "existingSecretKey": "url", "migrate": False}},
    "tls": {"database": {"url": URL}, "tls": {"existingSecret": "certificate"}, "requireKeys": False},
    "all": {
        "database": {"url": URL},
        "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
        "env": {"RUNTRACED_WRITERS": "4", "RUST_LOG": "debug"},
        "envFrom": [{"secretRef": {"name": "more"}}],
        "networkPolicy": {
            "enabled": True,
            "from": [{"namespaceSelector": {}}],
            "databaseTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "egress": [{"ports": [{"port": 4317, "protocol": "TCP"}]}],
        },
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "podLabels": {"team": "agents"},
        "spool": {"storageClass": "fast", "size": "20Gi", "bytes": "16GiB"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "traces", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "priorityClassName": "high",
    },
}
# Values that the chart must refuse.
REFUSED = {
    "no database": {},
    "a URL of another kind": {"database": {"url": "mysql://host/db"}},
    "a misspelt value": {"database": {"url": URL}, "replica": 2},
    "no replicas": {"database": {"url": URL}, "replicas": 0},
    "a foreign variable": {"database": {"url": URL}, "env": {"DATABASE_URL": "x"}},
    "a number as a variable": {"database": {"url": URL}, "env": {"RUNTRACED_WRITERS": 4}},
}


def rendered(chart, values):
    """All manifests, by kind and name."""
    found = {}
    for path, text in chart.render(values, name="agents", namespace="traces").items():
        if path.endswith("NOTES.txt"):
            continue
        for manifest in yaml.safe_load_all(text):
            if manifest:
                found[manifest["kind"], manifest["metadata"]["name"]] = manifest
    return found


def check_case(name, values, manifests):
    """What must hold between the manifests of one case."""
    kinds = sorted(kind for kind, _ in manifests)
    stateful = manifests["StatefulSet", "agents-runtraced"]
    pod = stateful["spec"]["template"]
    container = pod["spec"]["containers"][0]
    variables = {variable["name"]: variable for variable in container["env"]}
    labels = pod["metadata"]["labels"].items()
    for manifest in manifests.values():
        spec = manifest.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector:
            selector = selector.get("matchLabels", selector)
            assert selector.items() <= labels, f"{name}: {manifest['kind']} selects no pod"
    assert ("Secret" in kinds) == ("url" in values["database"]), f"{name}: {kinds}"
    reference = variables["DATABASE_URL"]["valueFrom"]["secretKeyRef"]
    if "Secret" in kinds:
        secret = manifests["Secret", reference["name"]]
        assert secret["stringData"][reference["key"]] == values["database"]["url"]
    else:
        assert reference == {"name": "traces", "key": "url"}
    assert URL not in yaml.safe_dump(stateful), f"{name}: the URL is in the StatefulSet"
    for probe, page in {"livenessProbe": "/livez", "readinessProbe": "/readyz"}.items():
        asked = container[probe]["httpGet"]
        assert asked == {"path": page, "port": "http", "scheme": "HTTPS" if "tls" in values else "HTTP"}, name
    ports = {port["name"] for port in container["ports"]}
    for service in (manifest for (kind, _), manifest in manifests.items() if kind == "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert stateful["spec"]["serviceName"] == "agents-runtraced-pods"
    assert ("Service", "agents-runtraced-pods") in manifests
    keys = "RUNTRACED_REQUIRE_KEYS" in variables
    assert keys == values.get("requireKeys", True) and keys != ("RUNTRACED_INSECURE" in variables), name
    migrate = values["database"].get("migrate", True)
    assert variables["RUNTRACED_NO_MIGRATE"]["value"] == ("false" if migrate else "true"), name
    policy = values.get("networkPolicy", {})
    assert ("NetworkPolicy" in kinds) == policy.get("enabled", False)
    if "NetworkPolicy" in kinds:
        allowed = manifests["NetworkPolicy", "agents-runtraced"]["spec"]["egress"]
        assert allowed[2:] == policy["egress"], f"{name}: {allowed}"
    for variable, value in values.get("env", {}).items():
        assert variables[variable]["value"] == value
    return len(manifests)


def main():
    path = sys.argv[1]
    chart = helm.Chart.load(path)
    total = 0
    for name, values in CASES.items():
        report = helm.lint(path, values, strict=True, namespace="traces")
        # An icon is recommended: information, no fault.
        faults = [message for message in report["messages"] if message["severity"] > 1]
        assert not faults and not report["errors"], f"{name}: {report}"
        manifests = rendered(chart, values)
        for version in KUBERNETES:
            for manifest in manifests.values():
                kubernetes_validate.validate(manifest, version, strict=True)
        total += check_case(name, values, manifests)
    for name, values in REFUSED.items():
        try:
            chart.render(values, name="agents", namespace="traces")
        except HelmError:
            continue
        raise AssertionError(f"the chart accepts {name}")
    print(f"the chart: {total} manifests are valid for Kubernetes {' and '.join(KUBERNETES)}")


if __name__ == "__main__":
    main()
