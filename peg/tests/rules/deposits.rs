use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    CertificateError, CertificateSig, Deposit, Mint, ModuleError, ParentView, PegDomain, PegFault, PegModule,
    deposit::{MAX_DEPOSITS_PER_VIEW, fold_deposits},
};

use crate::federation::{Federation, Memory, REGISTRY, deposit, deposits, domain, genesis, view};

/// A chain that can import, and the honest import of deposits 1 to 3.
struct Importer {
    federation: Federation,
    module: PegModule,
    slots: Memory,
}

impl Importer {
    fn new() -> Self {
        let federation = Federation::new(&[1, 1, 1, 1]);
        let (module, slots) = genesis(&federation);
        Self { federation, module, slots }
    }

    fn sign(&self, view: &ParentView) -> Vec<CertificateSig> {
        self.federation.sign(domain().parent_view_digest(view), [0, 1, 2])
    }

    /// Imports with the certificate of an honest quorum.
    fn import(&mut self, view: &ParentView, deposits: &[Deposit]) -> Result<Vec<Mint>, PegFault> {
        let signatures = self.sign(view);
        self.import_with(view, &signatures, deposits)
    }

    /// A refusal must leave the slots as they were.
    fn import_with(
        &mut self,
        view: &ParentView,
        signatures: &[CertificateSig],
        deposits: &[Deposit],
    ) -> Result<Vec<Mint>, PegFault> {
        let before = self.slots.clone();
        let result = self.module.import_deposits(&mut self.slots, view, signatures, deposits);
        result.map_err(|error| {
            assert_eq!(self.slots, before, "a refusal writes nothing");
            match error {
                ModuleError::Refused(fault) => fault,
                ModuleError::Slots(never) => match never {},
            }
        })
    }

    fn supply(&mut self) -> U256 {
        PegModule::supply(&mut self.slots).unwrap()
    }
}

#[test]
fn certified_deposits_are_minted_in_order_and_the_state_moves_with_them() {
    let mut importer = Importer::new();
    let first = deposits(1, 3);
    let view_1 = view(100, B256::ZERO, &first);
    let mints = importer.import(&view_1, &first).unwrap();
    assert_eq!(mints.len(), 3);
    for (mint, deposit) in mints.iter().zip(&first) {
        assert_eq!(
            (mint.nonce, mint.token, mint.sender, mint.recipient, mint.amount),
            (deposit.nonce, deposit.token, deposit.sender, deposit.recipient, deposit.amount)
        );
    }
    assert_eq!(importer.supply(), U256::from(6));
    assert_eq!(PegModule::deposit_nonce(&mut importer.slots).unwrap(), 3);
    assert_eq!(PegModule::deposit_acc(&mut importer.slots).unwrap(), view_1.depositAcc);
    assert_eq!(PegModule::last_parent_height(&mut importer.slots).unwrap(), 100);
    let second = deposits(4, 5);
    assert_eq!(importer.import(&view(101, view_1.depositAcc, &second), &second).unwrap().len(), 2);
    assert_eq!(importer.supply(), U256::from(15));
}

#[test]
fn import_happens_once() {
    let mut importer = Importer::new();
    let batch = deposits(1, 3);
    let view = view(100, B256::ZERO, &batch);
    importer.import(&view, &batch).unwrap();
    assert_eq!(importer.import(&view, &batch), Err(PegFault::UnexpectedNonce { expected: 4, got: 1 }));
    let later = ParentView { parentHeight: 200, ..view };
    assert_eq!(importer.import(&later, &batch), Err(PegFault::UnexpectedNonce { expected: 4, got: 1 }));
    assert_eq!(importer.supply(), U256::from(6));
}

#[test]
fn gaps_repetitions_and_another_end_are_refused() {
    let mut importer = Importer::new();
    let all = deposits(1, 5);
    for (wrong, expected, got) in [
        (vec![all[1], all[2]], 1, 2),
        (vec![all[0], all[2]], 2, 3),
        (vec![all[0], all[0]], 2, 1),
        (vec![all[1], all[0]], 1, 2),
        (vec![deposit(0, 1)], 1, 0),
        (vec![deposit(u64::MAX, 1)], 1, u64::MAX),
    ] {
        let view = view(100, B256::ZERO, &wrong);
        assert_eq!(importer.import(&view, &wrong), Err(PegFault::UnexpectedNonce { expected, got }));
    }
    // The view ends earlier or later than the deposits given.
    let view = view(100, B256::ZERO, &all);
    assert_eq!(importer.import(&view, &all[..4]), Err(PegFault::UnexpectedNonce { expected: 4, got: 5 }));
    let short = ParentView { depositNonce: 4, ..view };
    assert_eq!(importer.import(&short, &all), Err(PegFault::UnexpectedNonce { expected: 5, got: 4 }));
}

#[test]
fn every_changed_field_of_a_deposit_breaks_the_accumulator() {
    let mut importer = Importer::new();
    let honest = deposits(1, 3);
    let view = view(100, B256::ZERO, &honest);
    let changes: [fn(&mut Deposit); 4] = [
        |deposit| deposit.amount += U256::ONE,
        |deposit| deposit.recipient = Address::repeat_byte(9),
        |deposit| deposit.sender = Address::repeat_byte(9),
        |deposit| deposit.amount = U256::ZERO,
    ];
    for (place, change) in changes.iter().enumerate() {
        let mut forged = honest.clone();
        change(&mut forged[place % 3]);
        let computed = fold_deposits(B256::ZERO, &forged);
        assert_eq!(
            importer.import(&view, &forged),
            Err(PegFault::AccumulatorMismatch { computed, certified: view.depositAcc })
        );
    }
    assert!(importer.import(&view, &honest).is_ok());
}

#[test]
fn tokens_other_than_the_native_coin_are_refused() {
    let mut importer = Importer::new();
    let token = Address::repeat_byte(3);
    let batch = [Deposit { token, ..deposit(1, 1) }];
    assert_eq!(importer.import(&view(1, B256::ZERO, &batch), &batch), Err(PegFault::UnsupportedToken { token }));
}

#[test]
fn import_carries_one_to_256_deposits() {
    let mut importer = Importer::new();
    let all = deposits(1, MAX_DEPOSITS_PER_VIEW + 1);
    let too_many = view(1, B256::ZERO, &all);
    assert_eq!(importer.import(&too_many, &all), Err(PegFault::TooManyDeposits { count: 257 }));
    assert_eq!(importer.import(&too_many, &[]), Err(PegFault::NoDeposits));
    let most = &all[..256];
    assert_eq!(importer.import(&view(1, B256::ZERO, most), most).unwrap().len(), 256);
}

#[test]
fn view_heights_never_decrease_and_one_height_has_one_hash() {
    let mut importer = Importer::new();
    let all = deposits(1, 4);
    let first = view(100, B256::ZERO, &all[..2]);
    importer.import(&first, &all[..2]).unwrap();
    let rest = |height, hash| ParentView {
        parentHeight: height,
        parentHash: hash,
        ..view(height, first.depositAcc, &all[2..])
    };
    for (height, hash) in [(99, keccak256("x")), (0, first.parentHash), (100, keccak256("another block"))] {
        let stale = rest(height, hash);
        assert_eq!(importer.import(&stale, &all[2..]), Err(PegFault::StaleParentView { last: 100, got: height }));
    }
    assert!(importer.import(&rest(100, first.parentHash), &all[2..]).is_ok(), "a later cut of the same block");
}

#[test]
fn certificates_without_quorum_of_other_sets_or_altered_are_refused() {
    let mut importer = Importer::new();
    let batch = deposits(1, 2);
    let view_1 = view(100, B256::ZERO, &batch);
    let digest = domain().parent_view_digest(&view_1);
    let two = importer.federation.sign(digest, [0, 1]);
    assert_eq!(
        importer.import_with(&view_1, &two, &batch),
        Err(PegFault::Certificate(CertificateError::NoQuorum { power: 2, total: 4 }))
    );
    assert!(matches!(
        importer.import_with(&view_1, &[], &batch),
        Err(PegFault::Certificate(CertificateError::NoQuorum { .. }))
    ));
    for other in [
        PegDomain { parent_chain_id: 2, ..domain() },
        PegDomain { registry: Address::repeat_byte(1), ..domain() },
        PegDomain { genesis_hash: keccak256("another sidechain"), ..domain() },
    ] {
        let signatures = importer.federation.all(other.parent_view_digest(&view_1));
        assert!(matches!(
            importer.import_with(&view_1, &signatures, &batch),
            Err(PegFault::Certificate(CertificateError::WrongSigner { .. }))
        ));
    }
    let good = importer.sign(&view_1);
    let higher = ParentView { parentHeight: 101, ..view_1 };
    assert!(matches!(
        importer.import_with(&higher, &good, &batch),
        Err(PegFault::Certificate(CertificateError::WrongSigner { .. }))
    ));
    assert!(importer.import_with(&view_1, &good, &batch).is_ok());
}

#[test]
fn mint_cannot_fail_for_odd_recipients_and_amounts() {
    let mut importer = Importer::new();
    let odd = [
        Deposit { recipient: Address::ZERO, ..deposit(1, 5) },
        Deposit { recipient: REGISTRY, ..deposit(2, 5) },
        deposit(3, 0),
    ];
    assert_eq!(importer.import(&view(1, B256::ZERO, &odd), &odd).unwrap().len(), 3);
}

#[test]
fn supply_never_wraps() {
    let mut importer = Importer::new();
    let all = [Deposit { amount: U256::MAX, ..deposit(1, 1) }, deposit(2, 1)];
    assert_eq!(importer.import(&view(1, B256::ZERO, &all), &all), Err(PegFault::SupplyOverflow));
    assert!(importer.import(&view(1, B256::ZERO, &all[..1]), &all[..1]).is_ok());
    assert_eq!(importer.supply(), U256::MAX);
}

#[test]
fn chain_without_a_peg_imports_nothing() {
    let federation = Federation::new(&[1]);
    let batch = deposits(1, 1);
    let view = view(1, B256::ZERO, &batch);
    let signatures = federation.all(domain().parent_view_digest(&view));
    let result = PegModule::new(domain()).import_deposits(&mut Memory::new(), &view, &signatures, &batch);
    assert_eq!(result, Err(ModuleError::Refused(PegFault::NotPegged)));
}
