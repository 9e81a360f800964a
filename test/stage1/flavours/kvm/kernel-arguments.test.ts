import assert from 'node:assert/strict'
import { KERNEL_ARGUMENTS, kernelCommandLine } from '../../../../stage1/flavours/kvm/kernel-arguments.ts'

describe('the kernel command line', () => {
  it('ends with the arguments of PID 1', () => {
    assert.equal(kernelCommandLine('quiet', 'kvm', ['/init', 'guest']), 'quiet rdinit=/init -- guest')
  })

  it('weakens the kernel only where the processor is emulated', () => {
    assert.doesNotMatch(
      kernelCommandLine(KERNEL_ARGUMENTS, 'kvm', ['/init', 'guest']),
      /mitigations|init_on_alloc|notests/,
    )
    const emulated = kernelCommandLine(KERNEL_ARGUMENTS, 'tcg', ['/init', 'guest'])
    assert.match(emulated, / mitigations=off .*module_blacklist=sha256_ssse3 rdinit=\/init -- guest$/)
    // what every stage1 image says comes first, so that it is what was annotated
    assert.ok(emulated.startsWith(`${KERNEL_ARGUMENTS} `))
  })

  it('fits where the kernel keeps it', () => {
    assert.ok(kernelCommandLine(KERNEL_ARGUMENTS, 'tcg', ['/init', 'guest']).length < 2048) // COMMAND_LINE_SIZE of x86
  })
})
