"""Rows of a batch with sequences: one history each, or several rows that read one."""

import torch

from recap_model.data.dataset.batch import RecapBatch

SEQUENCES = {
    "history": {
        "item": torch.tensor([[5, 4, -1], [9, 8, 7], [-1, -1, -1]]),
        "actions": torch.arange(18.0).view(3, 3, 2),
        "length": torch.tensor([2, 3, 0]),
    }
}


def test_rows_take_their_own_histories_along():
    batch = RecapBatch(continuous=torch.arange(3.0).view(3, 1), sequences=SEQUENCES)
    for rows in (slice(1, 3), torch.tensor([1, 2])):
        chosen = batch[rows]
        assert len(chosen) == 2
        assert chosen.sequences["history"]["item"].tolist() == [[9, 8, 7], [-1, -1, -1]]
        assert chosen.sequences["history"]["actions"].shape == (2, 3, 2)


def test_rows_that_share_a_history_go_on_reading_it():
    batch = RecapBatch(
        continuous=torch.arange(4.0).view(4, 1), sequences=SEQUENCES, history_row=torch.tensor([0, 0, 1, 2])
    )
    assert batch[torch.tensor([3])].history_row.tolist() == [2]
    chosen = batch[2:]
    assert len(batch) == 4
    assert len(chosen) == 2
    assert chosen.history_row.tolist() == [1, 2]
    assert torch.equal(chosen.sequences["history"]["item"], SEQUENCES["history"]["item"])


def test_a_batch_of_sequences_alone_has_as_many_rows_as_histories():
    assert len(RecapBatch(sequences=SEQUENCES)) == 3
    assert RecapBatch(sequences=SEQUENCES).tensors() == {}


def test_sequences_move_to_a_device_with_their_batch():
    batch = RecapBatch(sequences=SEQUENCES, history_row=torch.zeros(2, dtype=torch.int64)).to("meta")
    assert {tensor.device.type for tensor in batch.sequences["history"].values()} == {"meta"}
    assert batch.history_row.device.type == "meta"
