"""The doors of Cloud Storage, as one tuple to mount."""

from infra.emulator.storage.batch import Batch
from infra.emulator.storage.json_buckets import JsonBuckets
from infra.emulator.storage.json_objects import JsonObjects
from infra.emulator.storage.uploads import Uploads
from infra.emulator.storage.xml_api import XmlApi

STORAGE = (JsonBuckets, JsonObjects, Uploads, XmlApi, Batch)
