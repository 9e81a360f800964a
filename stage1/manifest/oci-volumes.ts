import { type AcName, acName, MAX_NAME } from './ac-name.ts'
import type { MountPoint } from './app.ts'

/** As many as the mount points of a pod's app may be. */
const MAX_VOLUMES = 256

/**
 * Volumes of an OCI image configuration as mount points, named as docker2aci does: `volume-var-lib-data` for
 * /var/lib/data. They are optional: an empty volume in their place would hide what the image has there, and the app's
 * own layer is writable already.
 *
 * @param paths in any order; one that is not absolute or climbs is no place of the app's root and gives none
 * @returns in the order of their paths, so that two images which differ in order alone have the same
 * @throws RangeError for more than an app can have
 */
export function mountPointsFromOci(paths: readonly string[]): MountPoint[] {
  const places = [...new Set(paths.flatMap(place))].sort()
  if (places.length > MAX_VOLUMES) throw new RangeError(`names ${places.length} volumes, at most ${MAX_VOLUMES} can be`)
  const taken = new Set<string>()
  return places.map((path) => ({ name: freeName(path, taken), path, readOnly: false, optional: true }))
}

/** The path in its shortest form, as a list of one. */
function place(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const usable = path.startsWith('/') && !parts.includes('..') && !path.includes('\0') && path.isWellFormed()
  return usable ? [`/${parts.join('/')}`] : []
}

/** Paths that differ in other characters than those of a name, or beyond its end, are numbered. */
function freeName(path: string, taken: Set<string>): AcName {
  const whole = `volume${path}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  for (let n = 1; ; n++) {
    const suffix = n === 1 ? '' : `-${n}`
    const name = whole.slice(0, MAX_NAME - suffix.length).replace(/-+$/, '') + suffix
    if (taken.has(name)) continue
    taken.add(name)
    return acName(name)
  }
}
