"""Validates a file of OCSF events, one JSON object a line, against the schemas that PyPI's
ocsf-json-schema ships, each by the class, version and profiles that it names itself.

usage: ocsf_check.py FILE
"""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


def main():
    validators, wrong, count = {}, 0, 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            event = json.loads(line)
            metadata = event["metadata"]
            kind = (metadata["version"], event["class_uid"], tuple(metadata.get("profiles", [])))
            if kind not in validators:
                schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=kind[0]))
                name = schemas.lookup_class_name_from_uid(class_uid=kind[1])
                schema = schemas.get_class_schema(class_name=name, profiles=list(kind[2]))
                validators[kind] = Draft202012Validator(schema)
            for error in validators[kind].iter_errors(event):
                wrong += 1
                print(f"{sys.argv[1]}:{number}: {error.json_path}: {error.message}")
            if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
                wrong += 1
                print(f"{sys.argv[1]}:{number}: type_uid does not follow from class and activity")
            count += 1
    print(f"ocsf-json-schema: {count} events, {wrong} errors")
    sys.exit(1 if wrong or count == 0 else 0)


main()
