import { json, type TarEntrySpec, tar } from './images.ts'

/**
 * An App Container image.
 * @param manifest what it says beside its kind and version
 * @param entries named relative to its rootfs, links among them too
 */
export function aci(
  manifest: { readonly name: string } & Readonly<Record<string, unknown>>,
  entries: readonly TarEntrySpec[] = [],
): Buffer {
  const under = entries.map((e) => ({
    ...e,
    name: `rootfs/${e.name}`,
    ...(e.type === '1' && { link: `rootfs/${e.link}` }),
  }))
  const data = json({ acKind: 'ImageManifest', acVersion: '0.8.11', ...manifest })
  return tar([{ name: 'manifest', data }, { name: 'rootfs/' }, ...under])
}
