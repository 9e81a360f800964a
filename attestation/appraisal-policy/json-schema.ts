import { PolicySchema } from './schema.ts'

/**
 * The form of appraisal policies as JSON Schema, for editors: 2020-12 knows every keyword in it. Ends in a line feed.
 */
export function policyJsonSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Appraisal policy of Holdfast',
    ...PolicySchema,
  }
  return `${JSON.stringify(schema, null, 2)}\n`
}
