# The module derives no names: whoever looks for what it has made knows every name beforehand.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The region of what has no other."
  type        = string
}

variable "labels" {
  description = "Labels of everything that can have some. Nothing that changes from run to run."
  type        = map(string)
  default     = {}
}

variable "services" {
  description = "APIs to enable, such as run.googleapis.com."
  type        = set(string)
  default     = []
}

variable "accounts" {
  description = "Service accounts."
  type        = map(object({ account_id = string, display_name = string }))
  default     = {}
}

variable "roles" {
  description = "Roles of members in the project."
  type        = map(object({ role = string, member = string }))
  default     = {}
}

variable "buckets" {
  description = "Buckets, closed to the public."
  type        = map(object({ name = string, location = string, versioning = bool }))
  default     = {}
}

variable "secrets" {
  description = "Secrets without their data, and the members that may read it."
  type        = map(object({ secret_id = string, accessors = list(string) }))
  default     = {}
}

variable "gateway" {
  description = "An API Gateway. config_id says all that a config cannot change, and service_account, an address, is as whom it calls."
  type = object({
    api_id          = string
    config_id       = string
    gateway_id      = string
    region          = string
    openapi_base64  = string
    service_account = string
  })
  default = null
}

variable "key" {
  description = "An API key of the gateway. A deleted key keeps its name for 30 days: key_id ends with the generation."
  type        = object({ key_id = string, display_name = string, secret_id = string, generation = number })
  default     = null

  validation {
    condition     = var.key == null || var.gateway != null
    error_message = "A key needs a gateway: it is restricted to the gateway's API, and there is no key that is not restricted."
  }
}
