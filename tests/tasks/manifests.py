"""Manifests for tests: the smallest one, and one that says everything."""

SMALL = """\
app: shop
services:
  web:
environments:
  staging: {project: acme-staging, regions: [europe-west1]}
"""

FULL = """\
app: storefront
services:
  api:
    source: ./services/api
    dockerfile: docker/Dockerfile
    port: 9000
    health:
      {path: /health, status: [200], body: ok, tries: 3, timeout: 10s, backoff_min: 1s, backoff_max: 8s, samples: 9}
    memory: 1Gi
    cpu: 2
    min_instances: 1
    max_instances: 5
    concurrency: 10
    timeout: 60
    env: {MODE: on, LANG: de}
    secrets: {TOKEN: api-token, KEY: api-key:7}
    service_account: api-runtime
    public: true
    build: {machine_type: E2_HIGHCPU_8, timeout: 30m, step_timeout: 5m, args: {BASE: slim}}
  frontend: {depends_on: [api]}
environments:
  staging: {project: acme-staging, regions: [europe-west1]}
  production:
    project: acme-prod
    regions: [europe-west1, us-central1, asia-east1]
    waves: [[europe-west1], [us-central1, asia-east1]]
    strategy: {canary: [5, 25, 50], bake: 5m}
    approval: required
    approval_timeout: 2h
    freeze:
      - {from: 2026-12-20, to: "2027-01-02T08:00:00", timezone: Europe/Zurich, reason: holidays}
      - {cron: 0 18 * * FRI, duration: 60h}
    slo: {max_error_rate: 0.001, min_requests: 500}
    on_inconclusive: pause
    inconclusive_limit: 1h
    when_busy: refuse
    busy_timeout: 5m
    before: [{name: migrate, job: {name: migrate-db, timeout: 20m}}]
    after: [{name: tell, http: {url: "https://chat.example.com/x", method: PUT, headers: {X-A: b}, status: [204]}}]
    repository: images
    bucket: acme-slipway
    create_apis: true
    service_account: runtime@acme-prod.iam.gserviceaccount.com
    prober: prober
    build_service_account: builder
    env: {LANG: en}
    services:
      api: {memory: 2Gi, min_instances: 2, env: {TOKEN: none}, secrets: {MODE: api-mode:2}}
retention: {keep: 3, max_age: 30d, protect: ["v1.*"], foreign: delete, max_items: 5, max_percent: 10}
drift: {ignore: [template.annotations]}
"""
