// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/diag.h"

#define VM_HUGE_PAGE (2ull << 20)
#define VM_CPUID_MAX 4096

/* Memory slots of the device: the ranges of memory from 0 on, then these. */
#define VM_SLOT_ROM    MEMMAP_RANGES_MAX
#define VM_SLOT_SHADOW (VM_SLOT_ROM + 1)
#define VM_SLOT_FLASH  (VM_SLOT_SHADOW + VM_SHADOW_SEGMENTS)

#define VM_SEGMENT_SIZE (16u << 10)
#define VM_SEGMENT_LAST (VM_SHADOW_SEGMENTS - 1) /* the one of 64 KiB */

/* What the worker cannot do without. */
static const struct {
	int cap;
	const char *name;
} vm_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
};

static bool vm_is_plinth(const char *device)
{
	return strstr(device, "plinth");
}

static void vm_explain_open(const char *device, int error)
{
	bool is_plinth = vm_is_plinth(device);

	if ((error == ENOENT || error == ENXIO || error == ENODEV) && is_plinth)
		diag_error("%s is not there: run 'plinth launch' first", device);
	else if (error == ENOENT || error == ENXIO || error == ENODEV)
		diag_error("%s is not there: run 'plinth launch', or load kvm-amd or kvm-intel",
			   device);
	else if (error == EACCES || error == EPERM)
		diag_error("no permission to open %s: be root, or join the group that owns it",
			   device);
	else
		diag_error("cannot open %s: %s", device, strerror(error));
}

/* /dev/plinth is there as soon as the module is, and has no hypervisor behind it then. */
static void vm_explain(const struct vm *vm, const char *what, int error)
{
	if (error == ENXIO && vm_is_plinth(vm->device))
		diag_error("not launched: run 'plinth launch' first");
	else
		diag_error("%s refuses %s: %s", vm->device, what, strerror(error));
}

int vm_open_device(const char *device)
{
	int fd = open(device, O_RDWR | O_CLOEXEC), error;

	if (fd < 0) {
		error = errno;
		vm_explain_open(device, error);
		return -error;
	}
	if (ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
		return fd;
	diag_error("%s does not speak the KVM API: name /dev/plinth or /dev/kvm", device);
	close(fd);
	return -ENODEV;
}

static int vm_check_caps(struct vm *vm)
{
	size_t i;
	int ret;

	for (i = 0; i < sizeof(vm_caps) / sizeof(vm_caps[0]); i++) {
		ret = ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, vm_caps[i].cap);
		if (ret > 0)
			continue;
		diag_error("%s lacks %s: a newer kernel has it", vm->device, vm_caps[i].name);
		return -EOPNOTSUPP;
	}
	vm->cpus_max = VM_CPUS_MAX;
	ret = ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (ret > 0 && (unsigned int)ret < vm->cpus_max)
		vm->cpus_max = ret;
	vm->tsc_deadline = ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

/* The kernel says E2BIG until there is room for all entries. */
static int vm_get_cpuid(struct vm *vm)
{
	struct kvm_cpuid2 *cpuid;
	uint32_t nent;
	int error;

	for (nent = 128; nent <= VM_CPUID_MAX; nent *= 2) {
		cpuid = calloc(1, sizeof(*cpuid) + nent * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return -ENOMEM;
		cpuid->nent = nent;
		if (ioctl(vm->dev_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
			vm->cpuid = cpuid;
			return 0;
		}
		error = errno;
		free(cpuid);
		if (error != E2BIG)
			return -error;
	}
	return -E2BIG;
}

static int vm_ioctl(const struct vm *vm, unsigned long request, void *arg, const char *name)
{
	int error;

	if (ioctl(vm->fd, request, arg) >= 0)
		return 0;
	error = errno;
	vm_explain(vm, name, error);
	return -error;
}

/* Pages that KVM uses itself on Intel parts that cannot run real mode. */
static int vm_place_intel_pages(struct vm *vm)
{
	uint64_t identity = MEMMAP_KVM_IDENTITY;
	int error;

	if (ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    vm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity, "KVM_SET_IDENTITY_MAP_ADDR"))
		return -EINVAL;
	if (ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) <= 0)
		return 0;
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)MEMMAP_KVM_TSS) == 0)
		return 0;
	error = errno;
	vm_explain(vm, "KVM_SET_TSS_ADDR", error);
	return -error;
}

static int vm_split_irqchip(struct vm *vm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { VM_IOAPIC_PINS },
	};

	vm->routing =
		calloc(1, sizeof(*vm->routing) + VM_IOAPIC_PINS * sizeof(vm->routing->entries[0]));
	if (!vm->routing)
		return -ENOMEM;
	return vm_ioctl(vm, KVM_ENABLE_CAP, &cap, "KVM_CAP_SPLIT_IRQCHIP");
}

static int vm_create(struct vm *vm)
{
	int ret, error;

	ret = ioctl(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ret < 0)
		return -errno;
	vm->run_size = ret;
	do {
		vm->fd = ioctl(vm->dev_fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd >= 0)
		return 0;
	error = errno;
	vm_explain(vm, "KVM_CREATE_VM", error);
	return -error;
}

int vm_open(struct vm *vm, const char *device, int device_fd)
{
	int ret;

	*vm = (struct vm){ .device = device, .dev_fd = -1, .fd = -1 };
	vm->dev_fd = fcntl(device_fd, F_DUPFD_CLOEXEC, 0);
	ret = vm->dev_fd < 0 ? -errno : vm_check_caps(vm);
	if (ret)
		goto fail;
	ret = vm_get_cpuid(vm);
	if (ret) {
		vm_explain(vm, "KVM_GET_SUPPORTED_CPUID", -ret);
		goto fail;
	}
	ret = vm_create(vm);
	if (!ret)
		ret = vm_place_intel_pages(vm);
	if (!ret)
		ret = vm_split_irqchip(vm);
	if (!ret)
		return 0;
fail:
	vm_close(vm);
	return ret;
}

void vm_close(struct vm *vm)
{
	unsigned int i;

	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->dev_fd >= 0)
		close(vm->dev_fd);
	for (i = 0; i < vm->ranges; i++)
		munmap(vm->host[i], vm->range[i].size);
	if (vm->rom)
		munmap(vm->rom, vm->rom_size);
	free(vm->routing);
	free(vm->cpuid);
	*vm = (struct vm){ .dev_fd = -1, .fd = -1 };
}

/*
 * Maps size bytes at an address that is as far from a huge page's start as the guest's is: only
 * then can both sides use huge pages.
 */
static uint8_t *vm_map_range(const struct memmap_range *r)
{
	uint64_t lead = r->start % VM_HUGE_PAGE;
	uint64_t span = r->size + 2 * VM_HUGE_PAGE;
	uint8_t *area, *start;

	area = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return NULL;
	start = (uint8_t *)(((uintptr_t)area + VM_HUGE_PAGE - 1) & ~(VM_HUGE_PAGE - 1)) + lead;
	if (start > area)
		munmap(area, start - area);
	munmap(start + r->size, area + span - (start + r->size));
	if (mprotect(start, r->size, PROT_READ | PROT_WRITE)) {
		munmap(start, r->size);
		return NULL;
	}
	madvise(start, r->size, MADV_HUGEPAGE); /* a wish: kernels without huge pages refuse */
	return start;
}

/* size 0 removes the slot. */
static int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint8_t *host,
		       uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

/* The shadowed segments, at the start of their range, get slots of their own. */
static int vm_add_range(struct vm *vm, const struct memmap_range *r)
{
	uint8_t *host = vm_map_range(r);
	uint64_t skip = r->start == MEMMAP_SHADOW ? MEMMAP_SHADOW_END - MEMMAP_SHADOW : 0;
	uint32_t slot = vm->ranges;

	if (!host) {
		diag_error(
			"not enough address space for %llu MiB of memory: give a smaller --memory",
			(unsigned long long)r->size >> 20);
		return -ENOMEM;
	}
	vm->range[vm->ranges] = *r;
	vm->host[vm->ranges++] = host;
	return vm_set_slot(vm, slot, r->start + skip, r->size - skip, host + skip, 0);
}

int vm_add_memory(struct vm *vm, uint64_t size)
{
	struct memmap_range range[MEMMAP_RANGES_MAX];
	unsigned int i, n;
	int ret;

	vm->ram = memmap_split(size);
	n = memmap_ranges(&vm->ram, range);
	for (i = 0; i < n; i++) {
		ret = vm_add_range(vm, &range[i]);
		if (ret)
			return ret;
	}
	return 0;
}

int vm_add_rom(struct vm *vm, const void *image, size_t size, size_t flash)
{
	void *rom = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (rom == MAP_FAILED)
		return -errno;
	memcpy(rom, image, size);
	mprotect(rom, size, PROT_READ);
	vm->rom = rom;
	vm->rom_size = size;
	return vm_set_slot(vm, VM_SLOT_ROM, MEMMAP_4G - size + flash, size - flash, vm->rom + flash,
			   KVM_MEM_READONLY);
}

int vm_show_flash(struct vm *vm, uint8_t *data, size_t size)
{
	if (!data)
		return vm_set_slot(vm, VM_SLOT_FLASH, 0, 0, NULL, 0);
	return vm_set_slot(vm, VM_SLOT_FLASH, MEMMAP_4G - vm->rom_size, size, data,
			   KVM_MEM_READONLY);
}

/* ------------------------------------------------------------------ shadowing */

static uint64_t segment_start(unsigned int i)
{
	return MEMMAP_SHADOW + (uint64_t)i * VM_SEGMENT_SIZE;
}

static uint64_t segment_size(unsigned int i)
{
	return i == VM_SEGMENT_LAST ? MEMMAP_SHADOW_END - segment_start(i) : VM_SEGMENT_SIZE;
}

static unsigned int segment_of(uint64_t gpa)
{
	uint64_t i = (gpa - MEMMAP_SHADOW) / VM_SEGMENT_SIZE;

	return i < VM_SEGMENT_LAST ? i : VM_SEGMENT_LAST;
}

/* Where the firmware shows at gpa, below 1 MiB; NULL if it does not reach so far down. */
static uint8_t *vm_low_rom(const struct vm *vm, uint64_t gpa)
{
	uint64_t from_end = MEMMAP_SHADOW_END - gpa;

	if (gpa < MEMMAP_BIOS || from_end > vm->rom_size)
		return NULL;
	return vm->rom + (vm->rom_size - from_end);
}

static uint8_t *vm_shadow_source(const struct vm *vm, uint64_t gpa, bool memory)
{
	return memory ? vm_memory(vm, gpa, 1) : vm_low_rom(vm, gpa);
}

/* What the bus has to carry out, a write that memory does not take or the other way about, exits. */
static int vm_set_segment(struct vm *vm, unsigned int i, uint8_t mode)
{
	uint8_t *host = vm_shadow_source(vm, segment_start(i), mode & VM_SHADOW_READ);
	bool plain = mode == (VM_SHADOW_READ | VM_SHADOW_WRITE);
	int ret = 0;

	if (vm->shadow_slots & 1ull << i)
		ret = vm_set_slot(vm, VM_SLOT_SHADOW + i, 0, 0, NULL, 0);
	if (ret)
		return ret;
	vm->shadow_slots &= ~(1ull << i);
	vm->shadow[i] = mode;
	if (!host)
		return 0;
	ret = vm_set_slot(vm, VM_SLOT_SHADOW + i, segment_start(i), segment_size(i), host,
			  plain ? 0 : KVM_MEM_READONLY);
	if (!ret)
		vm->shadow_slots |= 1ull << i;
	return ret;
}

int vm_set_shadow(struct vm *vm, const uint8_t mode[VM_SHADOW_SEGMENTS])
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < VM_SHADOW_SEGMENTS && !ret; i++) {
		if (mode[i] != vm->shadow[i] || !(vm->shadow_slots & 1ull << i))
			ret = vm_set_segment(vm, i, mode[i]);
	}
	return ret;
}

/* ------------------------------------------------------------------ accesses */

static uint64_t vm_access_shadow(const struct vm *vm, uint64_t gpa, bool write, uint8_t **host)
{
	unsigned int i = segment_of(gpa);
	uint8_t mode = vm->shadow[i];

	if (write)
		*host = mode & VM_SHADOW_WRITE ? vm_memory(vm, gpa, 1) : NULL;
	else
		*host = vm_shadow_source(vm, gpa, mode & VM_SHADOW_READ);
	return segment_start(i) + segment_size(i) - gpa;
}

uint64_t vm_access(const struct vm *vm, uint64_t gpa, uint64_t len, bool write, uint8_t **host)
{
	const struct memmap_range *r;
	uint64_t alike = VM_SEGMENT_SIZE - gpa % VM_SEGMENT_SIZE; /* every border is a multiple */
	unsigned int i;

	*host = NULL;
	if (gpa >= MEMMAP_SHADOW && gpa < MEMMAP_SHADOW_END) {
		alike = vm_access_shadow(vm, gpa, write, host);
		return len < alike ? len : alike;
	}
	for (i = 0; i < vm->ranges; i++) {
		r = &vm->range[i];
		if (gpa - r->start >= r->size)
			continue;
		*host = vm->host[i] + (gpa - r->start);
		alike = r->size - (gpa - r->start);
	}
	return len < alike ? len : alike;
}

void *vm_memory(const struct vm *vm, uint64_t gpa, uint64_t len)
{
	const struct memmap_range *r;
	unsigned int i;

	for (i = 0; i < vm->ranges; i++) {
		r = &vm->range[i];
		if (gpa >= r->start && len <= r->size && gpa - r->start <= r->size - len)
			return vm->host[i] + (gpa - r->start);
	}
	return NULL;
}

int vm_signal_msi(const struct vm *vm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = address >> 32,
		.data = data,
	};
	int ret = ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);

	return ret < 0 ? -errno : ret;
}

int vm_set_doorbell(const struct vm *vm, bool io, uint64_t at, unsigned int size, int eventfd,
		    bool on)
{
	const struct kvm_ioeventfd args = {
		.addr = at,
		.len = size,
		.fd = eventfd,
		.flags = (io ? KVM_IOEVENTFD_FLAG_PIO : 0) | (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &args) ? -errno : 0;
}

/* The entry of a pin, or NULL. */
static struct kvm_irq_routing_entry *vm_find_route(struct vm *vm, unsigned int pin)
{
	uint32_t i;

	for (i = 0; i < vm->routing->nr; i++) {
		if (vm->routing->entries[i].gsi == pin)
			return &vm->routing->entries[i];
	}
	return NULL;
}

int vm_set_level_route(struct vm *vm, unsigned int pin, bool level, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *e = vm_find_route(vm, pin);
	struct kvm_irq_routing_entry route = {
		.gsi = pin,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {
			.address_lo = (uint32_t)address,
			.address_hi = address >> 32,
			.data = data,
		},
	};

	if (level && e && memcmp(e, &route, sizeof(route)) == 0)
		return 0;
	if (level)
		*(e ? e : &vm->routing->entries[vm->routing->nr++]) = route;
	else if (e)
		*e = vm->routing->entries[--vm->routing->nr];
	else
		return 0;
	return vm_ioctl(vm, KVM_SET_GSI_ROUTING, vm->routing, "KVM_SET_GSI_ROUTING");
}
