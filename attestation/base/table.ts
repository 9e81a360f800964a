import { printable } from './printable.ts'

/**
 * Columns two blanks apart, each as wide as its widest cell. Cells are made printable: names in them come from others.
 */
export function formatTable(header: readonly string[] | undefined, rows: readonly (readonly string[])[]): string {
  const lines = (header === undefined ? rows : [header, ...rows]).map((row) => row.map((cell) => printable(cell)))
  const widths: number[] = []
  for (const line of lines) {
    for (const [i, cell] of line.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return lines
    .map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}
