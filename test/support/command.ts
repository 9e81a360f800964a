import type { Command } from 'commander'

/** What a command wrote, and the exit status that it set. */
export interface Said {
  readonly out: Buffer
  readonly err: string
  readonly status: number
}

/** Runs a command of the program in this process; what it throws is what main() prints. */
export async function runCommand(command: Command, args: readonly string[]): Promise<Said> {
  const out: Buffer[] = []
  const err: Buffer[] = []
  const { stdout, stderr } = process
  const before = { out: stdout.write, err: stderr.write, exitCode: process.exitCode }
  throwing(command)
  try {
    process.exitCode = undefined
    stdout.write = (piece: string | Uint8Array) => out.push(Buffer.from(piece)) > 0
    stderr.write = (piece: string | Uint8Array) => err.push(Buffer.from(piece)) > 0
    await command.parseAsync([...args], { from: 'user' })
    return { out: Buffer.concat(out), err: Buffer.concat(err).toString(), status: Number(process.exitCode ?? 0) }
  } finally {
    stdout.write = before.out
    stderr.write = before.err
    process.exitCode = before.exitCode
  }
}

function throwing(command: Command): void {
  command.exitOverride()
  for (const each of command.commands) throwing(each)
}
