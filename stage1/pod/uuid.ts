import { randomUUID } from 'node:crypto'
import type { Brand } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'

/** RFC 9562 UUID in lowercase with hyphens; ours are version 4. */
export type PodUuid = Brand<string, 'PodUuid'>

/** A new random one. */
export function newPodUuid(): PodUuid {
  return podUuid(randomUUID())
}

/** @throws PodError POD_UUID_BAD */
export function podUuid(text: string): PodUuid {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) {
    throw new PodError('POD_UUID_BAD', `'${text.slice(0, 80)}' is not a pod UUID`)
  }
  return text as PodUuid // the test above is the constructor's check
}

/**
 * The pods that a prefix of a UUID stands for.
 * @returns the one pod; a whole UUID always means itself
 * @throws PodError POD_UUID_BAD, POD_NOT_FOUND or POD_AMBIGUOUS, which lists up to five
 */
export function matchUuid<Pod extends { readonly uuid: PodUuid }>(pods: readonly Pod[], prefix: string): Pod {
  const wanted = prefix.toLowerCase()
  if (!/^[0-9a-f][0-9a-f-]{0,35}$/.test(wanted)) {
    throw new PodError('POD_UUID_BAD', `'${prefix.slice(0, 80)}' is not the beginning of a pod UUID`, {
      hint: 'holdfast list --full shows the UUIDs.',
    })
  }
  const found = pods.filter((p) => p.uuid.startsWith(wanted))
  const [pod] = found
  if (pod === undefined) {
    throw new PodError('POD_NOT_FOUND', `there is no pod ${prefix}`, { hint: 'holdfast list shows the pods.' })
  }
  if (found.length > 1) {
    const shown = found.slice(0, 5).map((p) => p.uuid)
    throw new PodError('POD_AMBIGUOUS', `${found.length} pods begin with ${prefix}: ${shown.join(', ')}`, {
      hint: 'Give more digits.',
    })
  }
  return pod
}
