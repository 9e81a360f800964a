// What holdfast.ts does for the commands of stage1/cli, from the sources: tests must not depend on a bundle that may be old.
const [name, ...args] = process.argv.slice(2)

if (name === 'run') {
  const { runCommand } = await import('../../stage1/cli/run.ts')
  await runCommand(args)
} else {
  const load = {
    fetch: () => import('../../stage1/cli/fetch.ts'),
    image: () => import('../../stage1/cli/image.ts'),
    list: () => import('../../stage1/cli/list.ts'),
    rm: () => import('../../stage1/cli/rm.ts'),
    status: () => import('../../stage1/cli/status.ts'),
  }[name ?? '']
  if (load === undefined) throw new Error(`no command ${name}`)
  const command = (await load()).command().name(`holdfast ${name}`)
  command.exitOverride((err) => process.exit(err.exitCode === 0 ? 0 : 254))
  await command.parseAsync(args, { from: 'user' })
}
