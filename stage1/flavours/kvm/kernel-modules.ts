/** The names in a list of one module per line; a line that begins with `#` says something about them. */
export function parseModuleList(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

/**
 * The modules that the wanted ones need and they themselves, each once, as they have to be loaded.
 * Source: kmod, modules.dep(5): a line is `FILE: FILE...`, where each file on the right needs those right of it.
 *
 * @param dependencies text of modules.dep
 * @param wanted names, with `-` or `_`, which are the same in a module's name
 * @returns paths as in modules.dep
 * @throws RangeError for a module that modules.dep does not name
 */
export function moduleLoadOrder(dependencies: string, wanted: readonly string[]): string[] {
  const needs = new Map<string, readonly string[]>()
  for (const line of dependencies.split('\n')) {
    const [file, right] = line.split(':')
    if (file === undefined || right === undefined) continue
    const needed = right.split(' ').filter((name) => name !== '')
    needs.set(moduleName(file), [...needed.reverse(), file])
  }
  const order = wanted.flatMap((name) => {
    const files = needs.get(moduleName(name))
    if (files === undefined) throw new RangeError(`modules.dep has no module ${name}`)
    return files
  })
  return [...new Set(order)]
}

function moduleName(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.ko$/, '').replaceAll('-', '_')
}
