/** An app's image, as dm-verity knows it. */
export interface GuestImage {
  /** Root hash, 64 hexadecimal digits. */
  readonly rootHash: string
  /** Size of its EROFS file in blocks of 4096 bytes. */
  readonly blocks: number
}

/** A disk of the guest; which file it is, is said by `image`. */
export interface GuestDisk {
  /** By which the guest finds it. */
  readonly serial: string
  readonly content: 'tree' | 'hashes' | 'writable'
  /** Position among the images, of one that it holds. */
  readonly image?: number
  readonly readOnly: boolean
}

/** Where an app's root is. */
export interface GuestTree extends GuestImage {
  readonly dataSerial: string
  readonly hashSerial: string
}

/** Name of the disk for writable layers. */
export const WRITABLE_SERIAL = 'w'

/**
 * Which disks a guest has, in the order of QEMU's descriptors: apps of one image share its disks.
 * @param images of the apps, in their order
 * @param writable whether writable layers are on a disk, too
 */
export function guestDisks(
  images: readonly GuestImage[],
  writable: boolean,
): { readonly disks: readonly GuestDisk[]; readonly trees: readonly GuestTree[] } {
  const distinct = [...new Set(images.map((image) => image.rootHash))]
  const disks = distinct.flatMap((hash, n): GuestDisk[] => {
    const image = images.findIndex(({ rootHash }) => rootHash === hash)
    return [
      { serial: `d${n}`, content: 'tree', image, readOnly: true },
      { serial: `h${n}`, content: 'hashes', image, readOnly: true },
    ]
  })
  const trees = images.map((image): GuestTree => {
    const n = distinct.indexOf(image.rootHash)
    return { ...image, dataSerial: `d${n}`, hashSerial: `h${n}` }
  })
  const layer: GuestDisk[] = writable ? [{ serial: WRITABLE_SERIAL, content: 'writable', readOnly: false }] : []
  return { disks: [...disks, ...layer], trees }
}
