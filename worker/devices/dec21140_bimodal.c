// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A's high-performance mode: how it and the part share the card. */
#include "worker/devices/dec21140_regs.h"

#define MSI_CAPABILITY 0x50 /* where the part has nothing (3.1.3) */

static const uint32_t handshake[BIMODAL_KEYS] = BIMODAL_DEC21140_HANDSHAKE;
static const uint32_t sequence[BIMODAL_KEYS] = BIMODAL_DEC21140_CSR10_KEYS;

/* Where the legacy mode is to move no data, nothing of what it was doing stays. */
static void switched(void *part)
{
	struct dec21140 *dec = part;
	const enum bimodal_relation relation = dec->bimodal.cfg.relation;

	if (relation == BIMODAL_DISABLES_ALL || relation == BIMODAL_DISABLES_PART)
		dec21140_reset_chip(dec);
}

/* A message has no level; the pin's is InterruptStatus. */
static void interrupt(void *part, uint32_t bits)
{
	struct dec21140 *dec = part;
	uint64_t addr;
	uint32_t data;

	dec->stats.interrupts += !!bits;
	if (pci_function_msi(&dec->fn, &addr, &data)) {
		dec->fast_level = false;
		if (bits && dec21140_master(dec))
			dec->msi.send(dec->msi.ctx, addr, data);
	} else {
		dec->fast_level = bits;
	}
	dec21140_update_inta(dec);
}

static bool master(void *part)
{
	return dec21140_master(part);
}

static const struct bimodal_part bimodal_part = {
	.switched = switched,
	.interrupt = interrupt,
	.master = master,
	.none = BIMODAL_DEC21140_NONE,
	.handshake = handshake,
	.sequence = sequence,
};

void dec21140_set_bimodal(struct dec21140 *dec, const struct bimodal_config *cfg,
			  unsigned int pairs, struct msi_port msi)
{
	const struct virtio_net_options opt = {
		.mac = dec->mac,
		.pairs = pairs,
		.whole = cfg->relation == BIMODAL_INDEPENDENT,
	};

	if (!cfg->on)
		return;
	dec->msi = msi;
	bimodal_init(&dec->bimodal, cfg, &bimodal_part, dec, dec->dma, &dec->fast.v);
	virtio_net_init(&dec->fast, dec->clk, dec->dma, &bimodal_virtio_host, &dec->bimodal,
			dec->net, &opt);
	bimodal_reset(&dec->bimodal);
	if (cfg->identify == BIMODAL_IDENTIFY_REVISION)
		dec->fn.config[PCI_REVISION_ID] = BIMODAL_DEC21140_REVISION;
	pci_function_add_msi(&dec->fn, MSI_CAPABILITY);
}

void dec21140_doorbell(struct dec21140 *dec)
{
	if (dec->bimodal.enabled)
		virtio_resume(&dec->fast.v);
}

bool dec21140_arrived(void *dev, const struct virtio_net_hdr *todo, const uint8_t *frame,
		      size_t len)
{
	struct dec21140 *dec = dev;

	/* Legacy mode has never asked for frames that leave something to do. */
	if (!virtio_net_live(&dec->fast))
		return bimodal_legacy_data(&dec->bimodal) ? dec21140_receive(dec, frame, len)
							  : true;
	if (!virtio_net_receive(&dec->fast, todo, frame, len))
		return false;
	if (dec->bimodal.cfg.relation == BIMODAL_INDEPENDENT)
		dec21140_receive_now(dec, frame, len);
	return true;
}

void dec21140_all_arrived(void *dev)
{
	struct dec21140 *dec = dev;

	virtio_net_received(&dec->fast);
}
