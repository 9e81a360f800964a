/** Fields of template data that are known here; a custom template (`ima_template_fmt=`) is any list of them. */
const IMA_FIELDS = [
  'd',
  'n',
  'd-ng',
  'n-ng',
  'd-ngv2',
  'sig',
  'buf',
  'd-modsig',
  'modsig',
  'evmsig',
  'xattrnames',
  'xattrlengths',
  'xattrvalues',
  'iuid',
  'igid',
  'imode',
] as const
export type ImaField = (typeof IMA_FIELDS)[number]

/**
 * The oldest template: no length of its data, no lengths of its fields but the name's, and a hash of a fixed 276 bytes.
 */
export const OLD_TEMPLATE = 'ima'

/** Longest template name in a list. All fields once have 101 characters; the kernel itself reads back at most 80. */
export const MAX_TEMPLATE_NAME_BYTES = 255
/** As many as the kernel takes for a custom template. */
const MAX_FIELDS = 15

const TEMPLATES: ReadonlyMap<string, readonly ImaField[]> = new Map<string, readonly ImaField[]>([
  [OLD_TEMPLATE, ['d', 'n']],
  ['ima-ng', ['d-ng', 'n-ng']],
  ['ima-sig', ['d-ng', 'n-ng', 'sig']],
  ['ima-ngv2', ['d-ngv2', 'n-ng']],
  ['ima-sigv2', ['d-ngv2', 'n-ng', 'sig']],
  ['ima-buf', ['d-ng', 'n-ng', 'buf']],
  ['ima-modsig', ['d-ng', 'n-ng', 'sig', 'd-modsig', 'modsig']],
  ['evm-sig', ['d-ng', 'n-ng', 'evmsig', 'xattrnames', 'xattrlengths', 'xattrvalues', 'iuid', 'igid', 'imode']],
])

const KNOWN_FIELDS: ReadonlySet<string> = new Set(IMA_FIELDS)

/**
 * Fields of a template, by its name or, for a custom one, by the field list that stands in the name's place
 * (`d-ng|n-ng|sig`).
 * Source: Linux Documentation/security/IMA-templates.rst.
 *
 * @returns undefined for a template or field that is not known here
 */
export function imaTemplateFields(name: string): readonly ImaField[] | undefined {
  const known = TEMPLATES.get(name)
  if (known !== undefined) return known
  const fields = name.split('|', MAX_FIELDS + 1)
  return fields.length <= MAX_FIELDS && fields.every(isField) ? fields : undefined
}

function isField(name: string): name is ImaField {
  return KNOWN_FIELDS.has(name)
}
