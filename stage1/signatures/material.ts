import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { messageOf } from '../../attestation/base/index.ts'
import { SignatureError } from './errors.ts'
import type { Material } from './policy.ts'

/** No key or trusted root is larger; the public-good root has 7 KiB. */
const MAX_MATERIAL_BYTES = 4 << 20

/** Where it is, for messages. */
export function materialName(material: Material): string {
  return material.kind === 'file' ? material.path : 'a key in the policy'
}

/** @throws SignatureError IMAGE_POLICY_BAD */
export function readMaterial(material: Material): Uint8Array {
  if (material.kind === 'data') return material.bytes
  try {
    const { size } = fs.statSync(material.path)
    if (size > MAX_MATERIAL_BYTES) throw new RangeError(`has ${size} bytes, at most ${MAX_MATERIAL_BYTES} are read`)
    return new Uint8Array(fs.readFileSync(material.path))
  } catch (cause) {
    throw new SignatureError('IMAGE_POLICY_BAD', `the policy names ${material.path}: ${messageOf(cause)}`, { cause })
  }
}

/**
 * The blocks of a PEM file that have this label, in order.
 * @throws SignatureError IMAGE_POLICY_BAD where there is none
 */
export function pemBlocks(bytes: Uint8Array, label: 'PUBLIC KEY' | 'CERTIFICATE', what: string): readonly Uint8Array[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----/g)]
    .filter(([, name]) => name === label)
    .map(([, , body = '']) => new Uint8Array(Buffer.from(body, 'base64')))
  if (blocks.length === 0) throw new SignatureError('IMAGE_POLICY_BAD', `${what} holds no PEM block '${label}'`)
  return blocks
}

/** `sha256:<hex>`, the form in which signers and anchors are recorded. */
export function fingerprint(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
