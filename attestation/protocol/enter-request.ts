import { canonicalJson, fromUtf8, utf8 } from '../base/index.ts'
import type { EnterRecord } from '../event-log/index.ts'
import { checkRequestSize, LaunchRequestError } from './launch-request-error.ts'

/** A program that is to be run inside a running app, as stage0 asks its agent. No argument is in it but as a digest. */
export interface AppEnter {
  readonly v: 1
  readonly action: 'enter'
  readonly pod: string
  /** SHA-256 of the launch request of the pod: it names everything that the program will be confined by. */
  readonly launch: string
  readonly app: string
  /** Path or name of the program. */
  readonly program: string
  /** `hmac-sha256:<hex>` over all arguments, each with a NUL behind it, under the pod's redaction key. */
  readonly argv: string
  /** SHA-256 of the holdfast-stage1 that joins the app. */
  readonly helper: string
}

/** With what only the agent knows: node, mode, and who asked, by the kernel's word. Its RFC 8785 bytes are hashed. */
export interface EnterRequest extends AppEnter {
  readonly node: string
  readonly mode: 'enforce' | 'audit' | 'off'
  readonly by: { readonly uid: number; readonly gid: number }
}

const HEX64 = /^[0-9a-f]{64}$/
const FIELDS: Readonly<Record<keyof AppEnter, (value: unknown) => boolean>> = {
  v: (value) => value === 1,
  action: (value) => value === 'enter',
  pod: matches(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  launch: matches(HEX64),
  app: matches(/^[a-z0-9]+(-[a-z0-9]+)*$/, 63),
  program: matches(/^[^\0]+$/, 4096),
  argv: matches(/^hmac-sha256:[0-9a-f]{64}$/),
  helper: matches(HEX64),
}
const AGENT_FIELDS: Readonly<Record<Exclude<keyof EnterRequest, keyof AppEnter>, (value: unknown) => boolean>> = {
  node: matches(HEX64),
  mode: (value) => value === 'enforce' || value === 'audit' || value === 'off',
  by: (value) =>
    isObject(value) && Object.keys(value).sort().join() === 'gid,uid' && isId(value['uid']) && isId(value['gid']),
}

/** The bytes that are hashed, sent and kept. */
export function encodeEnterRequest(request: EnterRequest): Uint8Array {
  return utf8(canonicalJson({ ...request, by: { ...request.by } }))
}

/** @throws LaunchRequestError LAUNCH_REQUEST_INVALID naming the first field that is not as it must be */
export function parseAppEnter(value: unknown): AppEnter {
  checkFields(value, FIELDS)
  return value as AppEnter // every field of it has been checked
}

/** Whether a request is one to enter; anything else is taken for a launch. */
export function isEnterRequest(bytes: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(fromUtf8(bytes))
    return isObject(value) && value['action'] === 'enter'
  } catch {
    return false // whoever reads it as a launch says what is wrong with it
  }
}

/**
 * @param bytes as received; the caller hashes these same bytes
 * @throws LaunchRequestError
 */
export function parseEnterRequest(bytes: Uint8Array): EnterRequest {
  checkRequestSize(bytes)
  let value: unknown
  let text: string
  try {
    text = fromUtf8(bytes)
    value = JSON.parse(text)
  } catch (cause) {
    throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', 'the enter request is not UTF-8 JSON', { cause })
  }
  checkFields(value, { ...FIELDS, ...AGENT_FIELDS })
  const request = value as EnterRequest // every field of it has been checked
  if (fromUtf8(encodeEnterRequest(request)) !== text) {
    throw new LaunchRequestError('LAUNCH_REQUEST_NOT_CANONICAL', 'the enter request is not in RFC 8785 form')
  }
  return request
}

/**
 * stage0's check of its agent's answer: what was authorised is what it asked for, with the fields that only the agent
 * knows.
 * @throws LaunchRequestError LAUNCH_REQUEST_DIFFERS and those of parseEnterRequest
 */
export function matchEnterRequest(bytes: Uint8Array, asked: AppEnter): EnterRequest {
  const request = parseEnterRequest(bytes)
  const { node: _node, mode: _mode, by: _by, ...rest } = request
  if (canonicalJson({ ...rest }) !== canonicalJson({ ...asked })) {
    throw new LaunchRequestError(
      'LAUNCH_REQUEST_DIFFERS',
      `the agent had something else authorised in pod ${asked.pod}`,
    )
  }
  return request
}

/** What the record of an enter says of its request; the decision is beside it. */
export function enterRecord(
  request: EnterRequest,
  requestSha256: string,
  decision: Pick<EnterRecord, 'ticket' | 'verifierKey' | 'policy'>,
): EnterRecord {
  const { pod, app, program, argv, by, mode } = request
  return { record: 'enter', uuid: pod, request: requestSha256, app, program, argv, by: { ...by }, mode, ...decision }
}

function checkFields(value: unknown, fields: Readonly<Record<string, (value: unknown) => boolean>>): void {
  const bad = isObject(value)
    ? [...new Set([...Object.keys(fields), ...Object.keys(value)])].find(
        (name) => !(Object.hasOwn(fields, name) && Object.hasOwn(value, name) && fields[name]?.(value[name])),
      )
    : '$'
  if (bad === undefined) return
  throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', `enter request: ${bad.slice(0, 64)} is not as it must be`)
}

function matches(form: RegExp, max = 256): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value.length <= max && value.isWellFormed() && form.test(value)
}

function isId(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
