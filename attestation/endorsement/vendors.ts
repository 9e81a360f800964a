/**
 * Makers of TPMs by the hex digits of their four bytes in `id:...`.
 * Source: TCG TPM Vendor ID Registry, Family 1.2 and 2.0, version 1.07; the last two are not of the registry.
 */
const VENDORS: ReadonlyMap<string, string> = new Map([
  ['414D4400', 'AMD'],
  ['414E5400', 'Ant Group'],
  ['41544D4C', 'Atmel'],
  ['4252434D', 'Broadcom'],
  ['4353434F', 'Cisco'],
  ['464C5953', 'Flyslice Technologies'],
  ['474F4F47', 'Google'],
  ['48504500', 'HPE'],
  ['48504900', 'HP Inc.'],
  ['48495349', 'Huawei'],
  ['49424D00', 'IBM'],
  ['49465800', 'Infineon'],
  ['494E5443', 'Intel'],
  ['4C454E00', 'Lenovo'],
  ['4D534654', 'Microsoft'],
  ['4E534700', 'NSING'],
  ['4E534D20', 'National Semiconductor'],
  ['4E544300', 'Nuvoton'],
  ['4E545A00', 'Nationz'],
  ['51434F4D', 'Qualcomm'],
  ['524F4343', 'Rockchip'],
  ['534D534E', 'Samsung'],
  ['53454345', 'SecEdge'],
  ['534E5300', 'Sinosun'],
  ['534D5343', 'SMSC'],
  ['53544D20', 'STMicroelectronics'],
  ['54584E00', 'Texas Instruments'],
  ['57454300', 'Winbond'],
  ['5345414C', 'Wisekey'],
  ['564D5700', 'VMware'],
  ['00001014', 'swtpm'],
])

/**
 * Name of the maker that a certificate's TPM manufacturer attribute means.
 *
 * @param manufacturer `id:` and 8 hex digits in either case
 * @returns undefined for one that no list has
 */
export function vendorName(manufacturer: string | undefined): string | undefined {
  const digits = /^id:([0-9A-Fa-f]{8})$/.exec(manufacturer ?? '')?.[1]
  return digits === undefined ? undefined : VENDORS.get(digits.toUpperCase())
}
