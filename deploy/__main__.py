"""Build Helm, for which no test has time, and with `manifests` write them: `python -m deploy manifests`."""

import sys

from deploy.chart import HELM, MANIFESTS, manifest


HELM.build()
if sys.argv[1:] == ["manifests"]:
    for name, path in MANIFESTS.items():
        path.write_text(manifest(name), encoding="utf-8")
