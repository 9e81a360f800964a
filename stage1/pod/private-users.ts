import { PRIVATE_USERS } from '../flavours/nspawn/index.ts'
import type { PodManifest, Volume } from '../manifest/index.ts'
import type { AppCgroups, CgroupMounts } from './cgroup-layout.ts'
import { badIsolator, PodError } from './errors.ts'
import type { InsideSettings } from './plan-settings.ts'

/** Isolator of a pod that has a user namespace of its own; its value is `true` or `false`. */
export const PRIVATE_USERS_ISOLATOR = 'holdfast/private-users'

/** @throws PodError POD_ISOLATOR_BAD */
export function privateUsersWanted({ isolators }: Pick<PodManifest, 'isolators'>): boolean {
  const value: unknown = isolators.find(({ name }) => name === PRIVATE_USERS_ISOLATOR)?.value ?? false
  if (typeof value !== 'boolean') throw badIsolator(PRIVATE_USERS_ISOLATOR, 'must be true or false')
  return value
}

/** @returns what the pod's user 0 is outside; undefined for a pod with the users of the host */
export function privateFirstUser(manifest: PodManifest, { firstUser }: InsideSettings): number | undefined {
  if (!privateUsersWanted(manifest)) return undefined
  if (firstUser === undefined) throw new TypeError('a pod with private users is planned without its range')
  return firstUser
}

/**
 * Whether this machine has user namespaces, and whether the pod asks for no user beyond its own. Those that only a name
 * of the image stands for are init's to refuse.
 * @throws PodError POD_UNSUPPORTED
 */
export function requirePrivateUsers(
  manifest: PodManifest,
  volumes: readonly Volume[],
  { machine }: InsideSettings,
): void {
  const why = machine.noPrivateUsers()
  if (why !== undefined) throw new PodError('POD_UNSUPPORTED', `the pod is to have users of its own, but ${why}`)
  for (const { name, app } of manifest.apps) {
    for (const id of [app.user, app.group ?? '', ...app.supplementaryGIDs]) requireId(`app ${name}`, id)
  }
  for (const volume of volumes) {
    if (volume.kind !== 'empty') continue
    for (const id of [volume.uid ?? 0, volume.gid ?? 0]) requireId(`volume ${volume.name}`, id)
  }
}

function requireId(whose: string, id: string | number): void {
  if (!/^[0-9]+$/.test(String(id)) || Number(id) < PRIVATE_USERS) return
  throw new PodError('POD_UNSUPPORTED', `${whose}: a pod with private users has none of number ${id}`, {
    hint: `Those below ${PRIVATE_USERS} are there.`,
  })
}

/**
 * Files of control groups that root of the pod must own, so that its init can move apps into their groups. Apps reach
 * none of them for writing. On v2 the kernel asks for the nearest group above both, too (cgroup-v2.rst, "Delegation
 * Containment").
 */
export function filesGivenToPod({ v2 }: CgroupMounts, app: AppCgroups): string[] {
  const above = app.join
    .filter((file) => v2 !== undefined && file.startsWith(`${v2}/`))
    .map((file) => file.replace(/[^/]+\/([^/]+)$/, '$1'))
  return [...app.join, ...above]
}
